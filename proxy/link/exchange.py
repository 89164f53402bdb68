"""The far end's side of one request: asks the upstream proxy, and sends its answer over the link.

In: a stream of the link. Out: a request on loopback, and the answer's head and body on the stream. Refuses: heads that
are none (`BadHead`); a request that fails once the answer began is reset, so that nobody takes a part for the whole.
"""

from __future__ import annotations

import asyncio

import h11

from proxy.link import heads, repeats
from proxy.link.heads import Ask
from proxy.link.origin import OriginConnection, Place, Pool
from proxy.link.session import INTERNAL_ERROR, REFUSED_STREAM, Came, Cut, Drained, Ended, Event, Opened
from proxy.link.wire import Wire

_WITH_BODY = (b"POST", b"PUT", b"PATCH")
# authentication of a connection instead of a request: such a connection must serve nobody else
_CONNECTION_AUTH = (b"negotiate", b"ntlm")


class FarExchange:
    """One request and its answer."""

    def __init__(self, wire: Wire, event: Opened, pool: Pool, source: str) -> None:
        self._wire, self._stream_id, self._pool = wire, event.stream_id, pool
        ask = heads.ask_from_fields(event.fields)
        self._offer = repeats.parse_offer(ask.get(repeats.HAVE))
        self._ask: Ask = ask
        self._place: Place = (source, ask.scheme + b"://" + ask.authority)
        self._ended = event.ended
        self._bodyless = event.ended
        self._waiting: list[bytes] = []  # request bytes until there is a connection
        self._unread_bytes = 0
        self._connection: OriginConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._answering = False
        self._same: tuple[int, list[tuple[bytes, bytes]]] | None = None  # a head that waits for the holding's verdict
        self._holding: repeats.Holding | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def start(self) -> None:
        """Ask."""
        self._connecting = asyncio.get_running_loop().create_task(self._connect(fresh=False))

    # of the link

    def happened(self, event: Event) -> None:
        """Request bytes, cancellation, room for more of the answer."""
        match event:
            case Came():
                self._waiting.append(event.data)
                self._unread_bytes += len(event.data)
                self._forward()
            case Ended():
                self._ended = True
                self._forward()
            case Cut():
                self._stop()
            case Drained():
                if self._connection is not None:
                    self._connection.resume()
            case _:
                pass

    def lost(self, why: str) -> None:
        """The client is gone."""
        self._stop()

    # of the connection to the upstream proxy

    def head(self, status: int, headers: list[tuple[bytes, bytes]], bodyless: bool) -> None:
        """Send the answer's head, unless the body may turn out to be known."""
        self._answering = True
        fields = heads.answer_fields(status, headers, heads.for_script(self._ask))
        content_type = next((value for name, value in fields if name == b"content-type"), b"")
        self._wire.meter.label(self._stream_id, heads.kind(self._ask, content_type))
        if bodyless and status in (204, 304):
            fields = [pair for pair in fields if pair[0] != b"content-length"]
        if self._offer is not None and not bodyless and repeats.Holding.applies(self._offer[1], status, fields[1:]):
            self._holding = repeats.Holding(*self._offer)
            self._same = (status, fields)
            self._timer = asyncio.get_running_loop().call_later(repeats.HOLD_S, self._release)
            return
        self._wire.session.answer(self._stream_id, fields, ended=bodyless)
        self._wire.session.prefer(self._stream_id, heads.rank(self._ask))
        self._wire.flush()

    def body(self, data: bytes) -> None:
        """Send body bytes."""
        if self._holding is not None:
            passed = self._holding.feed(data)
            if passed is None:
                return
            self._unhold(passed)
            return
        if not self._wire.session.send(self._stream_id, data) and self._connection is not None:
            self._connection.pause()
        self._wire.flush()

    def done(self) -> None:
        """The answer is complete."""
        if self._holding is not None and self._same is not None:
            if self._holding.is_same():
                fields = [pair for pair in self._same[1] if pair[0] != b"content-length"]
                self._wire.session.answer(self._stream_id, [*fields, (repeats.SAME, b"1")], ended=True)
                self._holding = None
            else:
                self._unhold(self._holding.release())
        self._wire.session.send(self._stream_id, b"", ended=True)
        self._wire.flush()
        self._connection = None
        self._finish()

    def failed(self, why: str) -> None:
        """Try a connection that was not idle before, or give the stream up."""
        stale = self._connection is not None and self._connection.used > 1 and not self._connection.heard
        self._connection = None
        if stale and self._bodyless and not self._answering:
            self._connecting = asyncio.get_running_loop().create_task(self._connect(fresh=True))
            return
        self._reset(INTERNAL_ERROR)

    def writable(self) -> None:
        """The upstream proxy takes more of the request."""
        self._forward()

    # inside

    async def _connect(self, fresh: bool) -> None:
        auth = (self._ask.get(b"authorization") or b"").lower()
        try:
            connection = await self._pool.connect(self._place, fresh or auth.startswith(_CONNECTION_AUTH))
        except OSError:
            return self._reset(REFUSED_STREAM)
        if self._over:
            return connection.abort()
        self._connection = connection
        target, pairs = heads.http1_request(self._ask)
        has_length = self._ask.get(b"content-length") is not None
        if not self._bodyless and not has_length:
            pairs.append((b"Transfer-Encoding", b"chunked"))
        elif self._bodyless and not has_length and self._ask.method in _WITH_BODY:
            pairs.append((b"Content-Length", b"0"))
        if auth.startswith(_CONNECTION_AUTH):
            pairs.append((b"Connection", b"close"))
        try:
            connection.ask(self, self._ask.method, target, pairs)
            if self._bodyless:
                connection.end()
            else:
                self._forward()
        except h11.ProtocolError:
            self._reset(INTERNAL_ERROR)

    def _forward(self) -> None:
        connection = self._connection
        if connection is None or self._bodyless or not connection.writable:
            return
        try:
            for data in self._waiting:
                connection.send(data)
            self._waiting.clear()
            if self._unread_bytes:
                self._wire.session.consumed(self._stream_id, self._unread_bytes)
                self._unread_bytes = 0
                self._wire.flush()
            if self._ended:
                self._ended = False
                connection.end()
        except h11.ProtocolError:
            self._reset(INTERNAL_ERROR)

    def _release(self) -> None:
        if self._holding is not None:
            self._unhold(self._holding.release())

    def _unhold(self, body: bytes) -> None:
        """It is another body, or takes too long: send what was held back."""
        if self._timer is not None:
            self._timer.cancel()
        self._holding = None
        assert self._same is not None
        self._wire.session.answer(self._stream_id, self._same[1], ended=False)
        self._wire.session.prefer(self._stream_id, heads.rank(self._ask))
        if body:
            self.body(body)
        self._wire.flush()

    def _reset(self, code: int) -> None:
        if not self._over:
            self._wire.session.reset(self._stream_id, code)
            self._wire.flush()
        self._stop()

    def _stop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        self._finish()

    def _finish(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._wire.handlers.pop(self._stream_id, None)
