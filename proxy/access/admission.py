"""Reads what [access] says and the files it names, for one role, all or nothing.

In: a configuration. Out: `Admission`: tokens, users, bounds and the bypass list, ready for the addons. Refuses: files
that cannot be used, and anything that would make an open proxy (`AdmissionError`, which says what to do).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proxy.access.exposure import is_loopback, why_open
from proxy.access.htpasswd import PasswordFileError, Users, read_users
from proxy.access.limits import RequestLimits
from proxy.access.pairing import TokenFileError, Tokens, read_tokens
from proxy.config import Config
from proxy.tunnel.hosts import BypassFileError, BypassList, read_list, shipped

Role = Literal["upstream", "downstream"]


class AdmissionError(ValueError):
    """The role must not serve like this; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may use a role, and how. None: nobody has to prove anything, which is for loopback addresses only."""

    tokens: Tokens | None
    users: Users | None
    limits: RequestLimits
    bypass: BypassList


def read_admission(config: Config, role: Role) -> Admission:
    """Everything for `role`. Raises AdmissionError."""
    access = config.access
    try:
        tokens = read_tokens(Path(access.pair_file).expanduser()) if access.pair_file else None
        wanted = access.proxyauth if role == "downstream" else ""
        users = read_users(Path(wanted).expanduser()) if wanted else None
        own = access.bypass_file if role == "downstream" else ""
        bypass = read_list(Path(own).expanduser()) if own else shipped()
    except (TokenFileError, PasswordFileError, BypassFileError) as error:
        raise AdmissionError(str(error)) from error
    guard = tokens if role == "upstream" else users
    problem = why_open(role, getattr(config, role).listen_host, guard is not None)
    if problem is not None:
        raise AdmissionError(problem)
    limits = RequestLimits(access.max_url_bytes, access.max_header_bytes, access.max_header_fields)
    return Admission(tokens, users, limits, bypass)


def why_readable(config: Config) -> str | None:
    """Why the pairing token could be read on the way to upstream, and plain pages with it; None when it cannot."""
    upstream = config.downstream.upstream
    if not upstream.startswith("http://"):
        return None
    host = upstream.removeprefix("http://").partition("/")[0].rpartition(":")[0] or upstream.removeprefix("http://")
    if is_loopback(host):
        return None
    return "the link to upstream is plain http: whoever listens there can read plain pages and the pairing token"
