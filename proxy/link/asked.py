"""The near end's side of one request: a stream of the link on behalf of one loopback connection.

In: a request, its body, the link's events. Out: the answer on the loopback connection. Refuses: to send again what may
have had an effect; a request that is safe (RFC 9110, section 9.2.1) and has had no answer is sent once more when the
connection breaks, and any request that the far end certainly did not act on.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from proxy.link import heads, repeats, text
from proxy.link.bodies import MAX_BYTES, Known, digest
from proxy.link.coding import BadCoding
from proxy.link.events import Cut, Fields
from proxy.link.heads import Ask, BadHead
from proxy.link.nearstream import NearStream
from proxy.link.recoding import NearText
from proxy.link.schedule import Rank

if TYPE_CHECKING:
    from proxy.link.local import LocalConnection

logger = logging.getLogger("sketchwire.link")

SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
HEAD_DEADLINE_S = 300.0  # for an answer to begin; the far end's own deadlines are shorter
MAX_WHOLE_BYTES = 4 * 1024 * 1024  # of a bundle, which is collected anyway


class NearExchange(NearStream):
    """One request and its answer."""

    def __init__(self, local: LocalConnection, ask: Ask, has_body: bool) -> None:
        super().__init__(local)
        self._ask, self._has_body = ask, has_body
        self._tries = 0
        self._answered = False
        self._known: Known | None = None
        self._whole: bytearray | None = None  # a body that is collected before its head is sent
        self._held_head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._keep: bytearray | None = None  # a body that is remembered
        self._keep_for = ""
        self._text: NearText | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look for a known body, then ask."""
        bodies = self._local.near.bodies
        if bodies is not None and repeats.may_offer(self._ask):
            self._known = bodies.find(self._ask.url, repeats.variant(self._ask), self._ask.client)
        self._deadline = asyncio.get_running_loop().call_later(HEAD_DEADLINE_S, self._too_late)
        super().start()

    def end(self) -> None:
        """The request is complete."""
        if self._has_body:
            super().end()

    def lost(self, why: str) -> None:
        """The connection broke: ask again where that is safe."""
        self._broken(self._ask.method in SAFE and not self._has_body, why)

    def cancel(self) -> None:
        """Nobody wants the answer any more."""
        self._forget_deadline()
        super().cancel()

    # inside

    def _fields(self) -> tuple[Fields, Rank, bool]:
        self._tries += 1
        fields = self._ask.fields()
        if self._known is not None:
            fields.append(repeats.offer(self._known.digest, len(self._known.body)))
        return fields, heads.rank(self._ask), not self._has_body

    def _head(self, fields: Fields) -> None:
        self._forget_deadline()
        try:
            status, headers = heads.answer_from_fields(fields)
        except BadHead:
            return self._fail()
        if status < 200:
            return
        self._answered = True
        content_type = next((value for name, value in headers if name == b"content-type"), b"")
        assert self._wire is not None
        self._wire.meter.label(self._stream_id, heads.kind(self._ask, content_type))
        headers, restored = text.browser_head(headers)
        if status == 304:
            headers = text.as_the_browser_knows_it(self._ask, headers)
        if any(name == repeats.SAME for name, _ in headers):
            self._tally.origin_bytes = restored.origin_bytes if restored is not None else None
            headers = [pair for pair in headers if pair[0] != b"content-length"]
            return self._same(status, [pair for pair in headers if pair[0] != repeats.SAME])
        if restored is not None:
            self._text, self._tally.origin_bytes = NearText(restored), restored.origin_bytes
        near = self._local.near
        if near.bodies is not None and repeats.keeps(self._ask, status, headers):
            public = repeats.is_public(self._ask, headers)
            if public or self._ask.client:
                self._keep, self._keep_for = bytearray(), "" if public else self._ask.client
        if content_type in heads.BUNDLE_TYPES:
            self._held_head, self._whole = (status, headers), bytearray()
        else:
            self._send_head(status, headers)

    def _send_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        number = self._local.near.remember(self._tally)
        origin = "" if self._tally.origin_bytes is None else f";origin={self._tally.origin_bytes}"
        weighed = f"up={self._tally.up_bytes};down={self._tally.down_bytes}{origin};id={number}"
        self._local.head(status, [*headers, (heads.BYTES, weighed.encode())])

    def writable(self) -> None:
        """The downstream proxy reads on."""
        self._read_text()
        self._give_back()

    def _came(self, data: bytes) -> None:
        if self._text is None:
            return self._body(data, len(data))
        self._text.came(data)
        self._read_text()

    def _read_text(self) -> None:
        """Decode as much as the downstream proxy takes now."""
        while self._text is not None and self._text.waits and self._local.writable:
            try:
                self._body(*self._text.step())
            except BadCoding as error:
                return self._bad_text(error)
        if self._text is not None and self._text.complete and not self._text.waits:
            self._ended()

    def _ended(self) -> None:
        if self._text is None:
            return self._done()
        self._text.complete = True
        if self._text.waits:
            return
        try:
            self._tally.origin_bytes, self._text = self._text.origin_bytes(), None
        except BadCoding as error:
            return self._bad_text(error)
        self._done()

    def _cut(self, event: Cut) -> None:
        self._broken(event.unprocessed and not self._has_body, f"stream ended with code {event.code}")

    def _bad_text(self, error: BadCoding) -> None:
        logger.warning("link: a text cannot be decoded: %s", error)
        self._text = None
        self._fail()

    def _body(self, data: bytes, link_bytes: int) -> None:
        if self._keep is not None:
            self._keep += data
            if len(self._keep) > MAX_BYTES:
                self._keep = None
        if self._whole is None:
            return self._pass_on(data, link_bytes)
        self._whole += data
        self._unread_bytes += len(data)
        self.writable()
        if len(self._whole) > MAX_WHOLE_BYTES:
            self._send_whole()

    def _send_whole(self) -> None:
        if self._whole is not None and self._held_head is not None:
            whole, self._whole = bytes(self._whole), None
            self._send_head(*self._held_head)
            self._local.body(whole)

    def _same(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if self._known is None:
            return self._fail()
        body = self._known.body
        if digest(body) != self._known.digest:  # memory is not what it was
            return self._fail()
        self._send_head(status, [*headers, (b"content-length", b"%d" % len(body))])
        self._local.body(body)

    def _done(self) -> None:
        self._send_whole()
        if self._keep is not None and self._local.near.bodies is not None:
            variant = repeats.variant(self._ask)
            self._local.near.bodies.put(self._ask.url, variant, self._keep_for, bytes(self._keep))
        self._over = True
        if self._wire is not None:
            self._wire.handlers.pop(self._stream_id, None)
            self._wire.session.reset(self._stream_id)  # only if the request is not through: nobody wants the rest
            self._wire.flush()
        self._wire = None
        self._local.done()

    def _broken(self, may_repeat: bool, why: str) -> None:
        if self._over:
            return
        self._wire = None
        if may_repeat and self._tries < 2 and (not self._answered or self._whole is not None):
            self._answered, self._whole, self._held_head, self._keep = False, None, None, None
            self._text = None
            return NearStream.start(self)
        logger.info("link: a request failed: %s", why)
        self._fail()

    def _fail(self) -> None:
        self._forget_deadline()
        self._leave()
        self._local.abort()

    def _too_late(self) -> None:
        logger.info("link: no answer within %.0f s", HEAD_DEADLINE_S)
        self._fail()

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
