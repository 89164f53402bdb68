"""The far end's side of one request: asks the upstream proxy, and sends its answer over the link.

In: a stream of the link. Out: a request on loopback, and the answer's head and body on the stream. Refuses: heads that
are none (`BadHead`); a request that fails once the answer began is reset, so that nobody takes a part for the whole.
"""

from __future__ import annotations

import asyncio
import itertools

import h11

from proxy.link import heads, repeats, text
from proxy.link.coding import BadCoding, dictionary_id
from proxy.link.events import Came, Cut, Drained, Ended, Event, Opened
from proxy.link.heads import Ask
from proxy.link.origin import OriginConnection, Place, Pool
from proxy.link.recoding import FarText
from proxy.link.session import INTERNAL_ERROR, REFUSED_STREAM
from proxy.link.text import Recode
from proxy.link.wire import Wire

_WITH_BODY = (b"POST", b"PUT", b"PATCH")
# authentication of a connection instead of a request: such a connection must serve nobody else
_CONNECTION_AUTH = (b"negotiate", b"ntlm")
FLUSH_S = 0.01  # what came together is coded together
# how long a head waits for the first bytes, which show whether the body is what the head says
CODED_WAIT_S, PLAIN_WAIT_S = 0.5, 0.05


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
        self._text: FarText | None = None
        self._early: tuple[int, list[tuple[bytes, bytes]]] | None = None  # a head that waits for the first bytes
        self._first_timer: asyncio.TimerHandle | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
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
        decision = text.decide(self._ask, status, fields[1:])
        its_dictionary = self._wire.session.peer_dictionary_id
        if isinstance(decision, Recode) and not bodyless and its_dictionary is not None:
            self._text, self._early = FarText(decision, its_dictionary == dictionary_id()), (status, fields)
            wait_s = CODED_WAIT_S if decision.coding else PLAIN_WAIT_S
            self._first_timer = asyncio.get_running_loop().call_later(wait_s, self._first, b"")
            return
        self._begin(status, fields, bodyless)

    def _first(self, data: bytes) -> None:
        """The first bytes came, or none for a while: now it shows how the body crosses."""
        if self._early is None or self._text is None:
            return
        if self._first_timer is not None:
            self._first_timer.cancel()
        (status, fields), self._early = self._early, None
        if data or not self._text.recode.coding:
            trial = FarText(self._text.recode, False)
            try:
                if not text.compresses(b"".join(itertools.islice(trial.plain(data), 4))):
                    self._text = None
            except BadCoding:
                self._text = None  # it is not what its head says
        else:
            self._text = None
        if self._text is not None:
            fields = [fields[0], *text.link_head(fields[1:], self._text.recode, self._text.with_dictionary)]
        self._begin(status, fields, bodyless=False)

    def _begin(self, status: int, fields: list[tuple[bytes, bytes]], bodyless: bool) -> None:
        length = self._text.recode.length_bytes if self._text is not None and not self._text.recode.coding else None
        told = [(b"content-length", b"%d" % length)] if length is not None else []
        offer = None if bodyless else self._offer
        if offer is not None and repeats.Holding.applies(offer[1], status, [*fields[1:], *told]):
            self._holding = repeats.Holding(*offer)
            self._same = (status, fields)
            self._timer = asyncio.get_running_loop().call_later(repeats.HOLD_S, self._release)
            return
        self._wire.session.answer(self._stream_id, fields, ended=bodyless)
        self._wire.session.prefer(self._stream_id, heads.rank(self._ask))
        self._wire.flush()

    def body(self, data: bytes) -> None:
        """Send body bytes."""
        self._first(data)
        if self._text is None:
            return self._plain(data)
        try:
            for plain in self._text.plain(data):
                self._plain(plain)
        except BadCoding:
            self._reset(INTERNAL_ERROR)

    def _plain(self, data: bytes) -> None:
        """The body, decoded if it crosses as text; digests are over these bytes."""
        if self._holding is None:
            return self._emit(data)
        passed = self._holding.feed(data)
        if passed is not None:
            self._unhold(passed)

    def _emit(self, data: bytes) -> None:
        if self._text is None:
            return self._send(data)
        self._send(self._text.send(data))
        if self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush_text)

    def _flush_text(self) -> None:
        self._flush_timer = None
        if self._text is not None and not self._over:
            self._send(self._text.flush())

    def _send(self, data: bytes) -> None:
        if data and not self._wire.session.send(self._stream_id, data) and self._connection is not None:
            self._connection.pause()
        self._wire.flush()

    def done(self) -> None:
        """The answer is complete."""
        self._first(b"")
        if self._holding is not None and self._same is not None:
            if self._holding.is_same():
                fields = [pair for pair in self._same[1] if pair[0] not in (b"content-length", text.LENGTH)]
                if self._text is not None:
                    fields.append((text.LENGTH, b"%d" % self._text.site_bytes))
                self._wire.session.answer(self._stream_id, [*fields, (repeats.SAME, b"1")], ended=True)
                self._holding = self._text = None
            else:
                self._unhold(self._holding.release())
        self._connection = None  # it is free for others and must not be paused
        if self._text is not None:
            self._send(self._text.finish())
        self._wire.session.send(self._stream_id, b"", ended=True)
        self._wire.flush()
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
            self._emit(body)
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
        for timer in (self._first_timer, self._flush_timer):
            if timer is not None:
                timer.cancel()
        self._wire.handlers.pop(self._stream_id, None)
