"""Reads who may use a proxy where accounts are those of subscribers.

In: a configuration. Out: what `proxy.access.admission` gives, with the directory's users where accounts are in LDAP.
Refuses: what that refuses; settings that leave nobody to ask, or that let strangers in (`AdmissionError`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from proxy.access.admission import Admission, AdmissionError, Role, read_admission
from proxy.access.exposure import why_open
from proxy.config import LOOPBACK, Config, SubscribersConfig
from proxy.subscribers.congestion import Congestion
from proxy.subscribers.decide import Rules
from proxy.subscribers.directory import Directory, DirectoryError, read_password, users_of


def read(config: Config, role: Role) -> Admission:
    """Everything for `role`. Raises AdmissionError."""
    told = config.subscribers
    if role != "downstream" or not told.enabled:
        return read_admission(config, role)
    zone(told)
    if not config.ledger.subscribers:
        raise AdmissionError("[subscribers] counts by the ledger's pseudonyms: set subscribers = true in [ledger]")
    if config.cache.enabled and config.cache.downstream_shared:
        raise AdmissionError("one HTTP cache for all knows no tiers: set downstream_shared = false in [cache]")
    if told.accounts == "password":
        if not config.access.proxyauth:
            raise AdmissionError('accounts = "password" in [subscribers] needs proxyauth in [access]')
        return read_admission(config, role)
    if config.access.proxyauth:
        raise AdmissionError(f'accounts = "{told.accounts}" in [subscribers] goes without proxyauth in [access]')
    alone = replace(config, downstream=replace(config.downstream, listen_host=LOOPBACK))
    admission = read_admission(alone, role)
    if told.accounts == "ldap":
        try:
            directory = Directory(
                told.ldap,
                told.ldap_base,
                told.ldap_filter,
                told.ldap_bind_dn,
                read_password(told.ldap_password_file),
                str(Path(told.ldap_ca).expanduser()) if told.ldap_ca else "",
            )
        except DirectoryError as error:
            raise AdmissionError(f"[subscribers] {error}") from error
        return replace(admission, users=users_of(directory))
    problem = why_open(role, config.downstream.listen_host, told.unknown == "refuse")
    if problem is not None:
        raise AdmissionError(f'{problem}; or set unknown = "refuse" in [subscribers]')
    return admission


def file_of(config: Config) -> Path:
    """Where the subscribers are kept."""
    folder = Path(config.downstream.state_dir).expanduser()
    return Path(config.subscribers.file).expanduser() if config.subscribers.file else folder / "subscribers.sqlite"


def rules_of(told: SubscribersConfig) -> Rules:
    """What the operator decided."""
    return Rules(told.unknown, told.consent_version, told.when_used_up, told.outside_schedule)


def zone(told: SubscribersConfig) -> ZoneInfo:
    """The zone whose days and hours count. Raises AdmissionError."""
    try:
        return ZoneInfo(told.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise AdmissionError(
            f"[subscribers] timezone = {told.timezone!r}: no such zone; write Europe/Berlin"
        ) from error


def congestion_of(told: SubscribersConfig) -> Congestion:
    """A measure of the configured link."""
    return Congestion(told.link_kbit_s * 1000 / 8, told.congested_percent / 100)
