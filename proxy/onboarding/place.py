"""Where the proxy's own pages are: a name that exists only inside the proxy.

In: what a request names as its target. Out: whether the name is ours, and exactly ours. Refuses: nothing; whatever is
below the name or written differently is ours too, so that it never leaves, and is answered with an error.

`.internal` is reserved for private use and never delegated (ICANN resolution 2024.07.29.06), so no stranger can own it.
"""

from __future__ import annotations

HOST = "sketchwire.internal"
HTTP, HTTPS = f"http://{HOST}", f"https://{HOST}"
PORTS = {"http": 80, "https": 443}


def is_reserved(host: str | None) -> bool:
    """Whether a request for this host must not leave the proxy."""
    name = (host or "").strip().rstrip(".").lower()
    return name == HOST or name.endswith(f".{HOST}")


def is_exact(scheme: str, host: str, port: int, host_header: str | None) -> bool:
    """Whether a request names our pages as a browser does, and in nothing else than they are called."""
    if host != HOST or PORTS.get(scheme) != port:
        return False
    return host_header in (None, HOST, f"{HOST}:{port}")
