"""The far end's connections to the upstream proxy on loopback: absolute-form HTTP/1.1, kept for the next request.

In: requests, body bytes. Out: heads and body bytes to a listener. Refuses: what h11 refuses; the listener then hears
`failed`.

A connection serves one site and one paired client, because the upstream proxy keeps a connection to the site for each
of them: a site's next request finds it open. It comes from a loopback address of the client's own (127.x.y.z), so that
the upstream proxy tells clients apart; where the system has only 127.0.0.1, they share it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sys
from collections.abc import Callable
from typing import Protocol

import h11

logger = logging.getLogger("sketchwire.link")

MAX_HEAD_BYTES = 256 * 1024
IDLE_S = 30.0
MAX_IDLE = 256
Place = tuple[str, bytes]  # source address, scheme and authority


class Listener(Protocol):
    """Who awaits an answer."""

    def head(self, status: int, headers: list[tuple[bytes, bytes]], bodyless: bool) -> None:
        """The answer's head came."""

    def body(self, data: bytes) -> None:
        """Body bytes came."""

    def done(self) -> None:
        """The answer is complete."""

    def failed(self, why: str) -> None:
        """There will be no answer, or no more of it."""

    def writable(self) -> None:
        """The connection takes request bytes again."""


class OriginConnection(asyncio.Protocol):
    """One connection; serves one listener at a time."""

    def __init__(
        self, released: Callable[[OriginConnection], None], authorization: Callable[[], str | None] = lambda: None
    ) -> None:
        self._released, self._authorization = released, authorization
        self._http = h11.Connection(h11.CLIENT, MAX_HEAD_BYTES)
        self._listener: Listener | None = None
        self._transport: asyncio.Transport | None = None
        self._method = b""
        self.writable = True
        self.used = 0
        self.heard = False  # anything of the current answer
        self.upgraded = False
        self.idle_since_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, listener: Listener, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Send a request's head. Raises h11.LocalProtocolError."""
        self._listener, self._method, self.heard = listener, method, False
        self.used += 1
        credentials = self._authorization()
        if credentials is not None:
            headers = [*headers, (b"Proxy-Authorization", credentials.encode())]
        self._write(self._http.send(h11.Request(method=method, target=target, headers=headers)))

    def send(self, data: bytes) -> None:
        """Send body bytes; after an upgrade, any bytes."""
        if self.upgraded:
            self._write(data)
        elif data:
            self._write(self._http.send(h11.Data(data=data)))

    def end(self) -> None:
        """The request is complete; after an upgrade, no more bytes will come."""
        if self.upgraded:
            if self._transport is not None and self._transport.can_write_eof():
                self._transport.write_eof()
            return
        self._write(self._http.send(h11.EndOfMessage()))
        self._next()

    def abort(self) -> None:
        """Drop the connection; the listener hears nothing any more."""
        self._listener = None
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Read no more for now."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer."""
        self.heard = True
        if self.upgraded:
            if self._listener is not None:
                self._listener.body(data)
            return
        try:
            self._http.receive_data(data)
            self._next()
        except h11.ProtocolError as error:
            self._fail(f"the upstream proxy's answer: {error}")

    def eof_received(self) -> bool:
        """The answer's end, where nothing else marks it."""
        if self.upgraded:
            self._finish()
            return True
        try:
            self._http.receive_data(b"")
            self._next()
        except h11.ProtocolError as error:
            self._fail(f"the upstream proxy's answer: {error}")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Closed."""
        self._fail(str(error) if error else "the upstream proxy closed the connection")

    def pause_writing(self) -> None:
        """The socket is full."""
        self.writable = False

    def resume_writing(self) -> None:
        """The socket takes more."""
        self.writable = True
        if self._listener is not None:
            self._listener.writable()

    # inside

    def _write(self, data: bytes | None) -> None:
        if data and self._transport is not None:
            self._transport.write(data)

    def _next(self) -> None:
        while self._listener is not None:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                return
            if event is h11.PAUSED:  # a tunnel began
                self.upgraded = True
                rest = self._http.trailing_data[0]
                if rest:
                    self._listener.body(bytes(rest))
                return
            match event:
                case h11.Response():
                    self._head(event)
                case h11.Data():
                    self._listener.body(bytes(event.data))
                case h11.EndOfMessage():
                    self._finish()
                case h11.ConnectionClosed():
                    return self._fail("the upstream proxy closed the connection")
                case _:
                    pass  # 1xx

    def _head(self, event: h11.Response) -> None:
        assert self._listener is not None
        status = event.status_code
        bodyless = self._method == b"HEAD" or status in (204, 304)
        self._listener.head(status, list(event.headers.raw_items()), bodyless)

    def _finish(self) -> None:
        listener, self._listener = self._listener, None
        reusable = not self.upgraded and self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if reusable:
            self._http.start_next_cycle()
            self.resume()  # its last bytes may have filled the stream
        if listener is not None:
            listener.done()
        if not self.upgraded:
            self._released(self) if reusable else self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _fail(self, why: str) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.failed(why)
        self._close()


class Pool:
    """Connections to one upstream proxy at `host` and `port`."""

    def __init__(self, host: str, port: int, authorization: Callable[[], str | None] = lambda: None) -> None:
        self._host, self._port = host, port
        self._authorization = authorization
        self._idle: dict[Place, list[OriginConnection]] = {}
        self._loop = asyncio.get_running_loop()

    async def connect(self, place: Place, fresh: bool = False) -> OriginConnection:
        """An idle connection for the place, the one used last, or a new one. Raises OSError."""
        self._forget_old()
        idle = self._idle.get(place, [])
        while idle and not fresh:
            connection = idle.pop()
            if connection.is_open:
                return connection
        protocol = OriginConnection(lambda done: self._release(place, done), self._authorization)
        source = (place[0], 0) if place[0] else None
        await self._loop.create_connection(lambda: protocol, self._host, self._port, local_addr=source)
        return protocol

    def close(self) -> None:
        """Drop idle connections."""
        for connection in [each for idle in self._idle.values() for each in idle]:
            connection.abort()
        self._idle.clear()

    def _release(self, place: Place, connection: OriginConnection) -> None:
        connection.idle_since_s = self._loop.time()
        self._idle.setdefault(place, []).append(connection)
        self._forget_old()

    def _forget_old(self) -> None:
        limit_s = self._loop.time() - IDLE_S
        count = sum(len(idle) for idle in self._idle.values())
        for place, idle in list(self._idle.items()):
            keep = [each for each in idle if each.is_open and each.idle_since_s >= limit_s]
            if count > MAX_IDLE:
                count -= len(keep)
                keep = []
            for connection in idle:
                if connection not in keep:
                    connection.abort()
            if keep:
                self._idle[place] = keep
            else:
                del self._idle[place]


def source_address(client: str, host: str) -> str:
    """The loopback address a client's connections come from; empty where that cannot be chosen."""
    if sys.platform != "linux" or not host.startswith("127."):
        return ""
    number = hashlib.sha256(b"source" + client.encode()).digest()
    return f"127.{1 + number[0] % 254}.{number[1]}.{1 + number[2] % 254}"
