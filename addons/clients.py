"""Ends client connections that wait for nothing: heads that do not arrive in time, connections that idle, and those of
an address that has too many.

In: mitmproxy's connection hooks, flows' beginnings and ends. Out: closed connections, with 408 where a plain request
was half said. Refuses: to end a connection with a request under way, bytes still to be sent, a tunnel or a WebSocket.

mitmproxy waits ten minutes after each byte, so whoever sends one now and then (a "slow loris") stays for ever. A head's
time counts from its first byte, a TLS handshake's from the tunnel, idling from the end of the last answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import connection, ctx, http, tcp, tls

logger = logging.getLogger("sketchwire.clients")

LOOK_EVERY_S = 1.0
TIMEOUT_408 = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Patience:
    """`head_s` for a whole head, `idle_s` between requests (0: mitmproxy's own ten minutes), and how many `connections`
    one address may have at once (0: any number).
    """

    head_s: float
    idle_s: float
    connections: int


@dataclass(slots=True)
class Visitor:
    """A client's connection; times are of the monotonic clock."""

    handler: Any
    address: str
    idle_since_s: float
    head_since_s: float | None = None  # when the first byte of an unfinished head or handshake came
    plain: bool = True  # no tunnel was opened
    exempt: bool = False
    flows: set[str] = field(default_factory=set)

    def heard(self, now_s: float) -> None:
        """Bytes came."""
        if not self.flows and self.head_since_s is None:
            self.head_since_s = now_s

    def rest(self, now_s: float) -> None:
        """What was asked is answered."""
        self.idle_since_s, self.head_since_s = now_s, None

    def why_over(self, patience: Patience, now_s: float) -> str:
        """Why the connection is to end, or nothing."""
        if self.exempt or self.flows:
            return ""
        if self.head_since_s is not None and now_s - self.head_since_s >= patience.head_s:
            return "its request did not arrive in time"
        if patience.idle_s and now_s - self.idle_since_s >= max(patience.idle_s, patience.head_s):
            return "it was idle"
        return ""


class Clients:
    """The addon; `patience` may be replaced while flows pass. It comes after those that leave connections alone."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.ended: Counter[str] = Counter()
        self._visitors: dict[str, Visitor] = {}
        self._per_address: Counter[str] = Counter()
        self._watch: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Begin to look at the connections."""
        self._watch = asyncio.get_running_loop().create_task(self._look())

    def done(self) -> None:
        """The proxy ends."""
        if self._watch is not None:
            self._watch.cancel()

    def client_connected(self, client: connection.Client) -> None:
        """A connection was made: take it, or end it at once."""
        address = str(client.peername[0]) if client.peername else ""
        if 0 < self.patience.connections <= self._per_address[address]:
            self._tell("there were too many of its address")
            client.error = "too many connections"
            return
        handler = _handler(client)
        if handler is None:
            return
        visitor = Visitor(handler, address, time.monotonic())
        self._visitors[client.id] = visitor
        self._per_address[address] += 1
        _listen(handler.transports.get(client), visitor)

    def client_disconnected(self, client: connection.Client) -> None:
        """A connection ended."""
        visitor = self._visitors.pop(client.id, None)
        if visitor is not None:
            self._per_address[visitor.address] -= 1
            if not self._per_address[visitor.address]:
                del self._per_address[visitor.address]

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A head is there."""
        self._begin(flow)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """A tunnel's head is there; what comes inside is awaited anew."""
        visitor = self._visitors.get(flow.client_conn.id)
        if visitor is not None:
            visitor.plain = False
            visitor.rest(time.monotonic())

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """A tunnel that is left alone stays as long as its ends like."""
        if data.ignore_connection:
            self._exempt(data.context.client)

    def tls_established_client(self, data: tls.TlsData) -> None:
        """A handshake is over."""
        visitor = self._visitors.get(data.context.client.id)
        if visitor is not None:
            visitor.rest(time.monotonic())

    def tcp_start(self, flow: tcp.TCPFlow) -> None:
        """A tunnel without TLS or HTTP."""
        self._exempt(flow.client_conn)

    def websocket_start(self, flow: http.HTTPFlow) -> None:
        """A connection that has no requests any more."""
        self._exempt(flow.client_conn)

    def response(self, flow: http.HTTPFlow) -> None:
        """A flow ended well."""
        self._end(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """A flow ended."""
        self._end(flow)

    def _begin(self, flow: http.HTTPFlow) -> None:
        visitor = self._visitors.get(flow.client_conn.id)
        if visitor is not None:
            visitor.flows.add(flow.id)
            visitor.head_since_s = None

    def _end(self, flow: http.HTTPFlow) -> None:
        visitor = self._visitors.get(flow.client_conn.id)
        if visitor is not None:
            visitor.flows.discard(flow.id)
            visitor.rest(time.monotonic())

    def _exempt(self, client: connection.Client) -> None:
        visitor = self._visitors.get(client.id)
        if visitor is not None:
            visitor.exempt = True

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._sweep(time.monotonic())
            except Exception:
                logger.exception("defect while idle connections were looked for")

    async def _sweep(self, now_s: float) -> None:
        for visitor in list(self._visitors.values()):
            why = visitor.why_over(self.patience, now_s)
            if not why:
                continue
            writer = getattr(visitor.handler.transports.get(visitor.handler.client), "writer", None)
            transport = getattr(writer, "transport", None)
            if writer is None or transport is None:
                continue
            if transport.get_write_buffer_size():  # a slow reader of an answer that is over for us
                visitor.rest(now_s)
                continue
            if visitor.plain and visitor.head_since_s is not None and not writer.is_closing():
                writer.write(TIMEOUT_408)
            visitor.exempt = True  # once is enough
            self._tell(why)
            await visitor.handler.on_timeout()

    def _tell(self, why: str) -> None:
        self.ended[why] += 1
        if self.ended[why] & (self.ended[why] - 1) == 0:  # the first, second, fourth, eighth …
            logger.info("a client's connection is ended: %s (%d so far)", why, self.ended[why])


def _handler(client: connection.Client) -> Any:
    """What drives a connection: mitmproxy keeps one per client."""
    addons: Any = ctx.master.addons
    return next((each for each in addons.get("proxyserver").connections.values() if each.client is client), None)


def _listen(io: Any, visitor: Visitor) -> None:
    """Note when bytes come on a connection."""
    reader: Any = getattr(io, "reader", None)
    feed = getattr(reader, "feed_data", None)
    if feed is None:  # then only idling counts
        return

    def noted(data: bytes) -> None:
        visitor.heard(time.monotonic())
        feed(data)

    reader.feed_data = noted
