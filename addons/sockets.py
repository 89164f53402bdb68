"""Counts what crosses the sockets to upstream, and charges it to the flows of the client it was for.

In: mitmproxy's connection hooks; flows' beginnings and ends. Out: bytes up and down for each flow, and what was left
over when a client and its connections are gone. Refuses: nothing; what cannot be counted is None, not a guess.

mitmproxy speaks TLS over plain asyncio streams, so what its streams carry is what crosses the wire: TLS records,
handshakes, framing and all. A client's connections to upstream form one account. With one request at a time a flow's
charge is exact; when several share the account, each is charged what is left after the others' heads and bodies so far,
so that the sum over all flows stays exact.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import connection, ctx, http
from mitmproxy.proxy import server_hooks

from proxy.underway import Underway

logger = logging.getLogger("sketchwire.sockets")

Progress = Callable[[], tuple[int, int]]  # bytes up and down that a flow has moved so far, at least


@dataclass(frozen=True, slots=True)
class LeftOver:
    """What a client's connections moved beyond its flows; `flows` is how many it had."""

    client: connection.Client
    up_bytes: int
    down_bytes: int
    flows: int


@dataclass(slots=True)
class _Account:
    client: connection.Client
    up_bytes: int = 0
    down_bytes: int = 0
    flows: int = 0
    under_way: dict[str, Progress] = field(default_factory=dict)
    sockets: int = 0
    gone: bool = False
    underway: Underway | None = None
    place: int = -1

    def sent(self, count: int) -> None:
        self.up_bytes += count
        self.keep()

    def came(self, count: int) -> None:
        self.down_bytes += count
        self.keep()

    def keep(self) -> None:
        """Put down what no flow was charged with, for the case that the process is killed."""
        if self.underway is not None:
            self.underway.write(self.place, self.up_bytes, self.down_bytes)


class SocketMeter:
    """The addon; `left_over` is told what no flow was charged for. It must be added before what asks it.

    With `underway`, what a kill would lose is kept there, under the subscriber that `name` gives.
    """

    def __init__(
        self, left_over: Callable[[LeftOver], None] = lambda rest: None, underway: Underway | None = None
    ) -> None:
        self.left_over = left_over
        self.name: Callable[[connection.Client, http.HTTPFlow | None], str] = lambda client, flow: ""
        self._underway = underway
        self._accounts: dict[str, _Account] = {}

    # hooks

    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """A connection to upstream was made; nothing crossed it yet."""
        try:
            account = self._account(data.client, None)
            if _watch(_streams(data), account):
                account.sockets += 1
        except Exception:
            logger.exception("a connection's bytes are not counted")

    def server_disconnected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """It is over."""
        account = self._accounts.get(data.client.id)
        if account is not None:
            account.sockets -= 1
            self._settle(account)

    def client_disconnected(self, client: connection.Client) -> None:
        """A client left; its connections to upstream follow."""
        account = self._accounts.get(client.id)
        if account is not None:
            account.gone = True
            self._settle(account)

    def done(self) -> None:
        """The proxy ends."""
        for account in list(self._accounts.values()):
            self._settle(account, at_once=True)

    # for other addons

    def begin(self, flow: http.HTTPFlow, progress: Progress) -> None:
        """A flow is about to use its client's account."""
        account = self._account(flow.client_conn, flow)
        account.under_way[flow.id] = progress

    def charge(self, flow: http.HTTPFlow) -> tuple[int, int] | None:
        """What a flow that ends moved, up and down; None when that could not be counted."""
        account = self._accounts.get(flow.client_conn.id)
        if account is None or account.under_way.pop(flow.id, None) is None:
            return None
        account.flows += 1
        if not account.up_bytes and not account.down_bytes:
            return None
        others = [progress() for progress in account.under_way.values()]
        up_bytes = max(0, account.up_bytes - sum(up for up, _ in others))
        down_bytes = max(0, account.down_bytes - sum(down for _, down in others))
        account.up_bytes -= up_bytes
        account.down_bytes -= down_bytes
        account.keep()
        return up_bytes, down_bytes

    def _account(self, client: connection.Client, flow: http.HTTPFlow | None) -> _Account:
        """A client's account, under the name that is known by now."""
        account = self._accounts.get(client.id)
        if account is None:
            account = self._accounts[client.id] = _Account(client, underway=self._underway)
            if self._underway is not None:
                account.place = self._underway.take(self.name(client, flow))
        elif self._underway is not None and flow is not None and not account.flows:
            self._underway.name(account.place, self.name(client, flow))
        return account

    def _settle(self, account: _Account, at_once: bool = False) -> None:
        if at_once or (account.gone and account.sockets <= 0):
            self._accounts.pop(account.client.id, None)
            if account.up_bytes or account.down_bytes:
                self.left_over(LeftOver(account.client, account.up_bytes, account.down_bytes, account.flows))
            if account.underway is not None:
                account.underway.free(account.place)


def _streams(data: server_hooks.ServerConnectionHookData) -> Any:
    """The reader and writer of a connection: mitmproxy keeps them per client connection."""
    addons: Any = ctx.master.addons
    for handler in list(addons.get("proxyserver").connections.values()):
        if handler.client.id == data.client.id:
            return handler.transports.get(data.server)
    return None


def _watch(io: Any, account: _Account) -> bool:
    """Count what goes through a connection's streams from now on."""
    reader: Any = getattr(io, "reader", None)
    writer: Any = getattr(io, "writer", None)
    feed, write = getattr(reader, "feed_data", None), getattr(writer, "write", None)
    if feed is None or write is None:
        return False

    def counted_feed(data: bytes) -> None:
        account.came(len(data))
        feed(data)

    def counted_write(data: bytes) -> None:
        account.sent(len(data))
        write(data)

    reader.feed_data, writer.write = counted_feed, counted_write
    return True
