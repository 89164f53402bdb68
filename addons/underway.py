"""Which flows of a proxy are under way.

In: flows' beginnings and ends. Out: their ids. Refuses: nothing.
"""

from __future__ import annotations

from mitmproxy import http


class UnderWay:
    """The base of addons that count flows; a WebSocket counts no longer once it is set up."""

    def __init__(self) -> None:
        self._under_way: set[str] = set()

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A flow began."""
        self._under_way.add(flow.id)

    def response(self, flow: http.HTTPFlow) -> None:
        """A flow ended well."""
        self._under_way.discard(flow.id)

    def error(self, flow: http.HTTPFlow) -> None:
        """A flow ended early."""
        self._under_way.discard(flow.id)
