"""Tells an open proxy before it opens: who could reach it, and what would keep strangers out.

In: a listening address and what guards it. Out: None, or why it must not start and what to do. Refuses: every address
but loopback's where nobody has to prove who they are.
"""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a server that listens there."""
    name = host.strip().strip("[]").lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False  # a name may resolve to anything
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def why_open(role: str, host: str, guarded: bool) -> str | None:
    """Why `role` on `host` would serve strangers; None when it would not. `guarded`: its tokens or users are set."""
    if guarded or is_loopback(host):
        return None
    reachable = host if host not in ("", "0.0.0.0", "::") else "every address of this machine"
    remedy = (
        "set pair_file in [access] (`sketchwire access rotate FILE` makes it) on both machines"
        if role == "upstream"
        else "set proxyauth in [access] (`sketchwire access password NAME FILE` makes it)"
    )
    return f"{role} would be an open proxy: it listens on {reachable}, for anyone; {remedy}, or listen on 127.0.0.1"
