"""One of the downstream proxy's connections to the near end, and the exchange that is under way on it.

In: HTTP/1.1 from the downstream proxy, events of the link. Out: streams of the link, HTTP/1.1 answers. Refuses: what
h11 refuses, with 400; what cannot be completed ends with a closed connection, never with a short body that looks whole.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import h11

from proxy.link import heads
from proxy.link.asked import NearExchange
from proxy.link.heads import BadHead
from proxy.link.meter import Tally
from proxy.link.neartunnel import NearTunnel
from proxy.link.tunnel import ours_of

if TYPE_CHECKING:
    from proxy.link.near import NearEnd

logger = logging.getLogger("sketchwire.link")

MAX_HEAD_BYTES = 256 * 1024
_FRAMING = (b"content-length", b"transfer-encoding")
PAUSE_BYTES = 256 * 1024


class LocalConnection(asyncio.Protocol):
    """A connection; one exchange at a time."""

    def __init__(self, near: NearEnd) -> None:
        self.near = near
        self.writable = True
        self._http = h11.Connection(h11.SERVER, MAX_HEAD_BYTES)
        self._transport: asyncio.Transport | None = None
        self._exchange: NearExchange | NearTunnel | None = None
        self._raw = False  # a tunnel: bytes are not HTTP any more

    @property
    def tally(self) -> Tally | None:
        """What the exchange that is under way weighed until now."""
        return self._exchange.tally if self._exchange is not None else None

    # for the exchange

    def head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send an answer's head."""
        try:
            self._write(self._http.send(h11.Response(status_code=status, headers=headers)))
        except h11.ProtocolError as error:
            logger.warning("link: an answer's head cannot be passed on: %s", error)
            self.abort()

    def body(self, data: bytes) -> None:
        """Send body bytes."""
        if self._raw:
            return self._write(data)
        try:
            self._write(self._http.send(h11.Data(data=data)))
        except h11.ProtocolError as error:
            logger.warning("link: an answer's body cannot be passed on: %s", error)
            self.abort()

    def done(self) -> None:
        """The answer is complete; the connection is free for the next one."""
        self._exchange = None
        self.resume()
        if self._raw:
            return self._close()
        try:
            self._write(self._http.send(h11.EndOfMessage()))
        except h11.ProtocolError as error:  # shorter than its length said
            logger.warning("link: an answer is incomplete: %s", error)
            return self.abort()
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._next()
        elif self._http.our_state is h11.MUST_CLOSE or self._http.their_state is not h11.SEND_BODY:
            self._close()

    def upgrade(self) -> None:
        """From now on bytes pass as they are."""
        self._raw = True
        rest = self._http.trailing_data[0]
        if rest and self._exchange is not None:
            self._exchange.came(bytes(rest))

    def abort(self) -> None:
        """Give up: the downstream proxy sees a connection that ended too early."""
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Take no more of the request for now."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The downstream proxy connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=PAUSE_BYTES)
        self.near.opened(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, or of a tunnel."""
        if self._raw:
            if self._exchange is not None:
                self._exchange.came(data)
            return
        try:
            self._http.receive_data(data)
        except h11.ProtocolError:
            return self._bad("not HTTP")
        self._next()

    def eof_received(self) -> bool:
        """The downstream proxy sends no more."""
        if self._raw and self._exchange is not None:
            self._exchange.end()
            return True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The downstream proxy is gone, or gave this request up."""
        self.near.closed(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cancel()

    def pause_writing(self) -> None:
        """The downstream proxy reads slowly."""
        self.writable = False

    def resume_writing(self) -> None:
        """It reads on."""
        self.writable = True
        if self._exchange is not None:
            self._exchange.writable()

    # inside

    def _next(self) -> None:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                return self._bad(str(error))
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            match event:
                case h11.Request():
                    if not self._begin(event):
                        return
                case h11.Data():
                    if self._exchange is not None:
                        self._exchange.came(bytes(event.data))
                case h11.EndOfMessage():
                    if self._exchange is None:
                        return self._close()  # it was answered before its body was through
                    self._exchange.end()
                case h11.ConnectionClosed():
                    return self._close()
                case _:
                    pass

    def _begin(self, event: h11.Request) -> bool:
        try:
            if event.method == b"CONNECT":
                self._exchange = NearTunnel(self, heads.authority(event.target), ours=ours_of(event.headers))
            else:
                headers = list(event.headers.raw_items())
                ask = heads.ask_from_http1(event.method, event.target, headers)
                upgrade = next((value for name, value in event.headers if name == b"upgrade"), b"")
                if upgrade.strip().lower() == b"websocket":
                    self._exchange = NearTunnel(self, heads.with_port(ask), heads.upgrade_request(ask, headers))
                else:
                    framing = [value for name, value in event.headers if name in _FRAMING]
                    self._exchange = NearExchange(self, ask, has_body=any(value != b"0" for value in framing))
        except BadHead as error:
            self._bad(str(error))
            return False
        if isinstance(self._exchange, NearTunnel) and self._transport is not None:
            self.near.tunnelled(int(self._transport.get_extra_info("peername")[1]), self._exchange)
        self._exchange.start()
        return True

    def _bad(self, why: str) -> None:
        logger.warning("link: a request on loopback is refused: %s", why)
        body = b"The request could not be understood.\n"
        try:
            length = [("Content-Length", str(len(body))), ("Connection", "close")]
            self._write(self._http.send(h11.Response(status_code=400, headers=length)))
            self._write(self._http.send(h11.Data(data=body)))
        except h11.ProtocolError:
            pass
        self._close()

    def _write(self, data: bytes | None) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
