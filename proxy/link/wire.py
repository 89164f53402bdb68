"""Joins TLS and the protocol to a socket: one connection of the link.

In: an asyncio transport's bytes. Out: session events to an owner, and exact accounts of the socket's bytes. Refuses: to
queue in the socket; at most a few records wait there, so that the session's order of streams means something.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import ssl
from typing import Protocol

from proxy.link.coding import dictionary_id
from proxy.link.events import Cut, Event, Leaving, Opened
from proxy.link.frames import FrameTally
from proxy.link.meter import Meter
from proxy.link.pairing import Guest
from proxy.link.secure import LINK_PROTOCOL, PAIR_PROTOCOL, Secured
from proxy.link.session import PATIENT, LinkBroken, Patience, Session

logger = logging.getLogger("sketchwire.link")

BATCH_BYTES = 32 * 1024
UNSENT_BYTES = 32 * 1024
TICK_S = 1.0
HANDSHAKE_S = 30.0
_serials = itertools.count(1)


class Owner(Protocol):
    """Who is told what happens on a wire."""

    def opened(self, wire: Wire) -> None:
        """The handshake is done; the session can be used."""

    def asked(self, wire: Wire, event: Opened) -> None:
        """The peer opened a stream (far end)."""

    def guest(self, wire: Wire) -> Guest | None:
        """Who talks to a peer that wants to pair (far end); None: nobody."""

    def lost(self, wire: Wire, why: str) -> None:
        """The connection is gone; called once, also when it never opened, after its streams were told."""


class Handler(Protocol):
    """Who takes part in one stream; it leaves `Wire.handlers` when it is done."""

    def happened(self, event: Event) -> None:
        """Something happened on the stream."""

    def lost(self, why: str) -> None:
        """The connection is gone, and the stream with it."""


class Wire(asyncio.Protocol):
    """One connection. Nothing it calls in `owner` may block."""

    def __init__(self, secured: Secured, client: bool, owner: Owner, patience: Patience = PATIENT) -> None:
        self.serial = next(_serials)
        self.secured = secured
        self.meter = Meter(sends_up=client)
        self.handlers: dict[int, Handler] = {}
        self.raw_in_bytes = self.raw_out_bytes = 0
        self.peer = ""  # its fingerprint
        self.heard = False  # the peer accepted us: it sent something inside TLS
        self._guest: Guest | None = None
        self._highest_stream_id = 0
        self._client = client
        self._owner = owner
        self._patience = patience
        self._session: Session | None = None
        self._transport: asyncio.Transport | None = None
        self._sent, self._came = FrameTally(preface=client), FrameTally(preface=not client)
        self._writable = True
        self._flushing = False
        self._why = "closed by the other end"
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def session(self) -> Session:
        """The protocol; only after `opened`."""
        assert self._session is not None
        return self._session

    @property
    def is_open(self) -> bool:
        """Whether streams can be opened and fed."""
        return self._session is not None and self._transport is not None and not self._transport.is_closing()

    def close(self, why: str) -> None:
        """Close after sending what is in order to be sent; the owner hears of it."""
        if self._transport is None or self._transport.is_closing():
            return
        self._why = why
        self.flush_now()
        self.secured.close()
        self._send_raw(b"")
        self._transport.close()

    def abort(self, why: str) -> None:
        """Close at once."""
        self._why = why
        if self._transport is not None:
            self._transport.abort()

    def flush(self) -> None:
        """Send what the session has, once the current event is handled: one record for all of it."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def flush_now(self) -> None:
        """Send what the session has, as far as the socket takes it."""
        while self._writable and self.is_open:
            plain = self.session.take(BATCH_BYTES)
            if not plain:
                break
            self._send_raw(plain)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=BATCH_BYTES, low=BATCH_BYTES // 4)
        tune(transport)
        self._timer = self._loop.call_later(HANDSHAKE_S, self._too_slow)
        if self._client:
            self.secured.start()
            self._send_raw(b"")

    def data_received(self, data: bytes) -> None:
        """Raw bytes came."""
        self.raw_in_bytes += len(data)
        try:
            plain = self.secured.receive(data)
        except ssl.SSLError as error:
            self._send_raw(b"")  # the alert
            self.meter.received(len(data), {})
            return self.abort(f"TLS: {error.reason or error}")
        if self._guest is not None:
            return self._host(plain)
        if self._session is None and self.secured.established and not self._open():
            return self._host(plain) if self._guest is not None else None
        self._send_raw(b"")
        by_stream = self._came.feed(plain) if plain else {}
        for stream_id in by_stream:
            if not self._client and stream_id > self._highest_stream_id:
                self._highest_stream_id = stream_id
                self.meter.open(stream_id)
        self.meter.received(len(data), by_stream)
        if plain and self._session is not None:
            self.heard = True
            try:
                self._session.receive(plain, self._loop.time())
            except LinkBroken as error:
                self._tell()
                return self.close(f"protocol error: {error}")
        self._tell()
        if self._session is not None:
            self.flush()
        if self.secured.closed:
            self.close("closed by the other end")

    def eof_received(self) -> bool:
        """The peer sends no more; neither do we."""
        return False

    def pause_writing(self) -> None:
        """The socket is full."""
        self._writable = False

    def resume_writing(self) -> None:
        """The socket takes more."""
        self._writable = True
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        if self._timer is not None:
            self._timer.cancel()
        why = str(error) if error else self._why
        handlers, self.handlers = list(self.handlers.values()), {}
        for handler in handlers:
            handler.lost(why)
        self._owner.lost(self, why)

    # inside

    def _open(self) -> bool:
        if self.secured.protocol == PAIR_PROTOCOL:
            self._guest = self._owner.guest(self)
            if self._guest is None:
                self.abort("a stranger, and no pairing under way")
            return False
        if self.secured.protocol != LINK_PROTOCOL or self.secured.peer is None:
            self.abort("no certificate, or not this protocol")
            return False
        self.peer = self.secured.peer
        self._session = Session(self._client, self._loop.time(), self._patience, dictionary_id())
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self._owner.opened(self)
        return self.is_open

    def _tell(self) -> None:
        if self._session is None:
            return
        for event in self._session.events():
            match event:
                case Opened():
                    self._owner.asked(self, event)
                case Leaving():
                    pass  # `session.is_leaving` says so
                case Cut():
                    handler = self.handlers.pop(event.stream_id, None)
                    if handler is not None:
                        handler.happened(event)
                case _:
                    handler = self.handlers.get(event.stream_id)
                    if handler is not None:
                        handler.happened(event)

    def _host(self, plain: bytes) -> None:
        """Serve a peer that wants to pair."""
        assert self._guest is not None
        self._send_raw(b"")
        self.meter.received(0, {})
        answer = self._guest.receive(plain)
        if answer is None:
            return
        if not answer:
            return self.abort("a stranger without the code")
        self._send_raw(answer)
        self.secured.close()
        self._send_raw(b"")
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        self._flushing = False
        self.flush_now()
        self._tell()  # sources that may go on

    def _send_raw(self, plain: bytes) -> None:
        if plain:
            self.secured.send(plain)
        raw = self.secured.outgoing()
        if raw and self._transport is not None:
            self.raw_out_bytes += len(raw)
            self.meter.sent(len(raw), self._sent.feed(plain) if plain else {})
            self._transport.write(raw)

    def _tick(self) -> None:
        if self._session is None:
            return
        if not self._session.tick(self._loop.time()):
            return self.abort("the other end does not answer")
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self.meter.keep_only(self._session.stream_ids)
        self._flush()

    def _too_slow(self) -> None:
        self.abort("the handshake took too long")


def tune(transport: asyncio.Transport) -> None:
    """Send small pieces at once, and let little wait in the kernel, where no order of streams applies."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
