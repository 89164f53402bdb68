"""A subscriber: how good their pictures must be, when, how much they may use, and what they agreed to.

In: names, tiers, networks and numbers as an operator writes them. Out: frozen, checked values. Refuses: names that
could not be a user's or that look like addresses, unknown tiers, networks that are none, negative quotas
(`SubscriberError`, which says what to write).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.config import TIERS
from proxy.subscribers.schedule import ALWAYS, Schedule

MAX_NETWORKS = 64
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}\Z")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}\Z")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SubscriberError(ValueError):
    """A subscriber cannot be like this; the message says what is wrong and what to write instead."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Bytes over the link that are included; 0: as many as wanted."""

    day_bytes: int = 0
    month_bytes: int = 0

    def __post_init__(self) -> None:
        if self.day_bytes < 0 or self.month_bytes < 0:
            raise SubscriberError("a quota is a number of bytes, 0 for none")


@dataclass(frozen=True, slots=True)
class Consent:
    """What was agreed to, and when (Unix time)."""

    version: str
    time_s: float


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One account. `networks` are its addresses where they tell accounts apart; `consent` is the one in force."""

    name: str
    tier: str
    networks: tuple[Network, ...] = ()
    quota: Quota = field(default_factory=Quota)
    schedule: Schedule = ALWAYS
    consent: Consent | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.tier not in TIERS:
            raise SubscriberError(f"a tier is one of {', '.join(TIERS)}, not {self.tier!r}")
        if len(self.networks) > MAX_NETWORKS:
            raise SubscriberError(f"a subscriber has at most {MAX_NETWORKS} networks")


def check_name(name: str) -> str:
    """The name, if it may be a subscriber's. Raises SubscriberError."""
    if not _NAME.match(name):
        raise SubscriberError(f"{name!r}: a name has 1 to 64 letters, digits or . _ @ + -, the first no sign")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name
    raise SubscriberError(f"{name!r}: a name must not look like an address; give addresses with --network")


def check_version(version: str) -> str:
    """The version of a consent's text, if it is one. Raises SubscriberError."""
    if not _VERSION.match(version):
        raise SubscriberError(f"{version!r}: a version has 1 to 40 letters, digits or . _ -, such as 2026-11")
    return version


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and CIDR networks, sorted, each once. Raises SubscriberError."""
    found: set[Network] = set()
    for text in texts:
        try:
            found.add(ipaddress.ip_network(text.strip()))
        except ValueError as error:
            raise SubscriberError(f"{text!r} is no network ({error}); write 192.0.2.0/24 or 2001:db8::/48") from None
    return tuple(sorted(found, key=lambda network: (network.version, int(network.network_address), network.prefixlen)))
