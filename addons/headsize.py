"""Bounds the memory that an unfinished HTTP/1 head can take: mitmproxy collects one until it is complete or for ever.

In: the bytes of heads. Out: 431 to clients, a failed flow for servers, and a closed connection. Refuses: heads over the
limit that have not ended; what ends within it is judged by `addons.access`.

There is no hook at that moment, so `install` wraps the two methods that read heads; where a later mitmproxy has no such
method, its own behaviour stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import ReceiveHttp

WHY = "the header fields are too large"


def install(limit_bytes: int) -> None:
    """Bound heads in both directions."""
    for kind in (_http1.Http1Server, _http1.Http1Client):
        original = getattr(kind, "read_headers", None)
        if original is not None:
            bounded = _bounded(getattr(original, "sketchwire_original", original), limit_bytes)
            setattr(kind, "read_headers", bounded)  # noqa: B010  (a method, for mypy)


def _bounded(original: Any, limit_bytes: int) -> Any:
    def read_headers(self: Any, event: Any) -> Iterator[Any]:
        yield from original(self, event)
        unfinished = isinstance(event, events.DataReceived) and self.state == self.read_headers
        if not unfinished or len(self.buf) <= limit_bytes:
            return
        self.buf.maybe_extract_at_most(len(self.buf))
        self.state = self.done
        if isinstance(self, _http1.Http1Server):
            yield commands.SendData(self.conn, _http1.make_error_response(431, WHY))
            yield commands.CloseConnection(self.conn)
        else:
            yield commands.CloseConnection(self.conn)
            if self.stream_id is not None:
                error = self.ReceiveProtocolError(self.stream_id, f"Cannot read the answer: {WHY}")
                yield ReceiveHttp(error)

    read_headers.sketchwire_original = original  # type: ignore[attr-defined]
    return read_headers
