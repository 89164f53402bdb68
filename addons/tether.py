"""Ties the downstream proxy to its upstream proxy: it connects there and nowhere else, whatever happens to a flow.

In: mitmproxy's `server_connect` hook. Out: nothing. Refuses: every other address.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from mitmproxy.proxy import server_hooks


class Tether:
    """Allows connections to the host and port of one URL."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._allowed = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Fail any connection but the one to upstream."""
        if data.server.address is None or data.server.address[:2] != self._allowed:
            data.server.error = "Downstream only connects to its upstream proxy."
