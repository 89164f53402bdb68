"""What crossed the link, for the ledger: each flow what it weighed, now and then the rest: the sum is the wire's.

In: the near end's accounts; flows' beginnings and ends; rows on their way to the ledger. Out: bytes of WebSockets and
tunnels, and rows of the decision `overhead` for what no row has: handshakes, PINGs, windows, frames after an answer's
end, requests of our own. Refuses: nothing; where a row said too much, later rests are smaller by that.

It takes the place of SocketMeter, whose sockets are on loopback here. `addons.link` gives a flow its exact weight.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from mitmproxy import connection, http
from mitmproxy.proxy import server_hooks

from addons.link import is_websocket
from addons.sockets import LeftOver, Progress, SocketMeter
from proxy.ledger.row import Row
from proxy.link.meter import Tally
from proxy.link.near import NearEnd

logger = logging.getLogger("sketchwire.link")

Record = Callable[[Row], None]

EVERY_S = 60.0


class LinkMeter(SocketMeter):
    """The addon; rows must pass through what `noting` gives, and `settle` be called after the near end stopped."""

    def __init__(self, near: NearEnd) -> None:
        super().__init__()
        self._near = near
        self._record: Record = lambda row: None
        self._noted = Tally()
        self._charged: dict[int, Tally] = {}  # of tunnels that carry WebSockets, by our port: what their flows have
        self._looking: asyncio.Task[None] | None = None

    def noting(self, record: Record) -> Record:
        """`record`, with an account of what is in the ledger."""

        def note(row: Row) -> None:
            up_bytes = min(row.link_up_bytes, row.link_bytes)
            self._noted.add(up_bytes, row.link_bytes - up_bytes + row.refetch_bytes)
            record(row)

        self._record = note
        return note

    def settle(self, open_too: bool = True) -> None:
        """Write down what crossed the link and is in no row; what is under way stays out unless `open_too`."""
        rest = Tally()
        for tally in self._near.totals().values():
            rest.add(tally.up_bytes, tally.down_bytes)
        rest.add(-self._noted.up_bytes, -self._noted.down_bytes)
        if not open_too:
            under_way = self._near.under_way()
            rest.add(-under_way.up_bytes, -under_way.down_bytes)
        link_bytes = rest.up_bytes + rest.down_bytes
        if link_bytes <= 0:
            return
        up_bytes = min(max(0, rest.up_bytes), link_bytes)
        self._record(
            Row(
                time_s=time.time(),
                role="downstream",
                decision="overhead",
                image=False,
                link_bytes=link_bytes,
                link_up_bytes=up_bytes,
            )
        )

    # hooks

    def running(self) -> None:
        """Look now and then."""
        self._looking = asyncio.get_running_loop().create_task(self._look())

    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Nothing is counted on loopback."""

    def server_disconnected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """A connection to the near end is over; if it was a tunnel, it has its weight now."""
        port = _port(data.server)
        tally = self._near.tunnel(port)
        if tally is None:
            return
        charged = self._charged.pop(port, None)
        done = charged or Tally()
        rest = LeftOver(
            data.client,
            max(0, tally.up_bytes - done.up_bytes),
            max(0, tally.down_bytes - done.down_bytes),
            flows=0 if charged is None else 1,
        )
        if rest.up_bytes or rest.down_bytes:
            self.left_over(rest)

    def client_disconnected(self, client: connection.Client) -> None:
        """Its tunnels end by themselves."""

    def done(self) -> None:
        """The proxy ends."""
        if self._looking is not None:
            self._looking.cancel()

    # for LedgerRows

    def begin(self, flow: http.HTTPFlow, progress: Progress) -> None:
        """The near end keeps the account."""

    def charge(self, flow: http.HTTPFlow) -> tuple[int, int] | None:
        """What a WebSocket's handshake moved, which has a tunnel; other flows have their weight already."""
        port = _port(flow.server_conn)
        tally = self._near.tunnel(port) if is_websocket(flow) else None
        if tally is None or port in self._charged:
            return None
        self._charged[port] = Tally(tally.up_bytes, tally.down_bytes)
        return tally.up_bytes, tally.down_bytes

    # inside

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                self.settle(open_too=False)
            except Exception:
                logger.exception("what crossed the link is not in the ledger yet")


def _port(server: connection.Server) -> int:
    return int(server.sockname[1]) if server.sockname else 0
