"""Tunnels through the link: WebSockets, and TLS that is not opened.

In: a CONNECT stream. Out: a CONNECT on loopback to the upstream proxy, and bytes both ways. Refuses: what the upstream
proxy refuses; its status travels back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import h11

from proxy.link import heads
from proxy.link.events import Came, Cut, Drained, Ended, Event, Fields, Opened
from proxy.link.origin import OriginConnection, Pool
from proxy.link.session import INTERNAL_ERROR, REFUSED_STREAM
from proxy.link.wire import Wire

KIND = "tunnel"


def connect_fields(authority: bytes, ours: Fields = ()) -> Fields:
    """A CONNECT as the link carries it; scheme and path are there because h2 asks for them, and cost two bytes.

    `ours` are fields by which the two proxies talk about the tunnel.
    """
    return [(b":method", b"CONNECT"), (b":scheme", b"https"), (b":authority", authority), (b":path", b"/"), *ours]


def ours_of(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The fields among `headers` that the two proxies exchange, but for the link's own."""
    fields = [(bytes(name).lower(), bytes(value)) for name, value in headers]
    return [
        each for each in fields if each[0].startswith(b"sketchwire-") and not each[0].startswith(b"sketchwire-link-")
    ]


class FarTunnel:
    """The far end's side of one tunnel."""

    def __init__(self, wire: Wire, event: Opened, pool: Pool, source: str) -> None:
        self._wire, self._stream_id, self._pool, self._source = wire, event.stream_id, pool, source
        self._authority = heads.authority(bytes(dict(event.fields).get(b":authority", b"")))
        self._ours = ours_of(event.fields)
        self._connection: OriginConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: list[bytes] = []
        self._unread_bytes = 0
        self._ended = event.ended
        self._refused = False
        self._theirs_done = False

    def start(self) -> None:
        """Connect."""
        self._wire.meter.label(self._stream_id, KIND)
        self._task = asyncio.get_running_loop().create_task(self._connect())

    def happened(self, event: Event) -> None:
        """Bytes for the tunnel's far side, its end, room for more."""
        match event:
            case Came():
                self._waiting.append(event.data)
                self._unread_bytes += len(event.data)
                self.writable()
            case Ended():
                self._ended = True
                self.writable()
            case Cut():
                self.lost("")
            case Drained():
                if self._connection is not None:
                    self._connection.resume()
            case _:
                pass

    def lost(self, why: str) -> None:
        """The stream or the link is gone."""
        connection, self._connection = self._connection, None
        if self._task is not None:
            self._task.cancel()
        if connection is not None:
            connection.abort()

    def head(self, status: int, headers: list[tuple[bytes, bytes]], bodyless: bool) -> None:
        """What the upstream proxy says to the CONNECT."""
        self._refused = not 200 <= status < 300
        self._wire.session.answer(self._stream_id, [(b":status", b"%d" % status)], ended=self._refused)
        self._wire.flush()
        if not self._refused:
            asyncio.get_running_loop().call_soon(self.writable)

    def body(self, data: bytes) -> None:
        """Bytes from the tunnel's far side."""
        if self._refused:
            return
        if not self._wire.session.send(self._stream_id, data) and self._connection is not None:
            self._connection.pause()
        self._wire.flush()

    def done(self) -> None:
        """The far side sends no more."""
        self._theirs_done = True
        if not self._refused:
            self._wire.session.send(self._stream_id, b"", ended=True)
            self._wire.flush()
        if self._connection is not None:  # half-open tunnels help nobody: TLS and WebSockets close for both
            asyncio.get_running_loop().call_soon(self._connection.abort)

    def failed(self, why: str) -> None:
        """The connection broke."""
        self._connection = None
        self._wire.session.reset(self._stream_id, INTERNAL_ERROR)
        self._wire.handlers.pop(self._stream_id, None)
        self._wire.flush()

    def writable(self) -> None:
        """Send on what waits."""
        connection = self._connection
        if connection is None or not connection.upgraded or not connection.writable:
            return
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

    async def _connect(self) -> None:
        try:
            connection = await self._pool.connect((self._source, b"CONNECT " + self._authority), fresh=True)
            connection.ask(self, b"CONNECT", self._authority, [(b"Host", self._authority), *self._ours])
            connection.end()
        except (OSError, h11.ProtocolError):
            self._wire.session.reset(self._stream_id, REFUSED_STREAM)
            self._wire.handlers.pop(self._stream_id, None)
            self._wire.flush()
            return
        self._connection = connection
