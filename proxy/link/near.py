"""The near end: takes the downstream proxy's requests on loopback and sends them over the link.

In: plain HTTP/1.1 on a few loopback ports, absolute form or with the field `Sketchwire-Link-To`; CONNECT. Out: answers,
each with the field `Sketchwire-Link-Bytes` that says what it weighed on the wire. Refuses: to answer when the link is
down; the connection is closed, and the downstream proxy shows its own page.

There are several ports because mitmproxy opens at most five connections to an address for each browser connection, and
a browser that speaks HTTP/2 asks for more at once.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections import OrderedDict
from pathlib import Path

from proxy.link.bodies import Bodies
from proxy.link.dial import Dialer
from proxy.link.local import LocalConnection
from proxy.link.meter import Tally
from proxy.link.neartunnel import NearTunnel
from proxy.link.session import PATIENT, Patience

logger = logging.getLogger("sketchwire.link")

PORTS = 16
HOST = "127.0.0.1"
REMEMBERED = 4096


class NearEnd:
    """The client. Its sockets are bound when it is made, so that the downstream proxy can be told the ports."""

    def __init__(
        self,
        folder: Path,
        far_host: str,
        far_port: int,
        repeat_bytes: int,
        patience: Patience = PATIENT,
        ports: int = PORTS,
    ) -> None:
        self._folder, self._far, self._patience = folder, (far_host, far_port), patience
        self.bodies = Bodies(repeat_bytes) if repeat_bytes else None
        self._sockets = [_bound() for _ in range(ports)]
        self._servers: list[asyncio.Server] = []
        self._dialer: Dialer | None = None
        self._connections: set[LocalConnection] = set()
        self._tallies: OrderedDict[str, Tally] = OrderedDict()
        self._tunnels: OrderedDict[int, NearTunnel] = OrderedDict()
        self._numbers = itertools.count(1)

    @property
    def ports(self) -> list[int]:
        """Where it listens."""
        return [int(each.getsockname()[1]) for each in self._sockets]

    @property
    def dialer(self) -> Dialer:
        """The connection to the far end; only after `start`."""
        assert self._dialer is not None
        return self._dialer

    async def start(self) -> None:
        """Serve, and connect."""
        loop = asyncio.get_running_loop()
        self._dialer = Dialer(self._folder, *self._far, patience=self._patience)
        self._dialer.start()
        for each in self._sockets:
            self._servers.append(await loop.create_server(lambda: LocalConnection(self), sock=each))

    async def stop(self) -> None:
        """Close everything."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.abort()
        if self._dialer is not None:
            await self._dialer.stop()
        for each in self._sockets:
            each.close()

    @property
    def is_up(self) -> bool:
        """Whether there is a connection for new requests now."""
        return self._dialer is not None and self._dialer.current is not None

    def totals(self) -> dict[str, Tally]:
        """Bytes on the wire by kind, of all connections since the start."""
        return self._dialer.totals() if self._dialer is not None else {}

    def tally(self, number: str) -> Tally | None:
        """What an answer weighed until now, by the `id` in its `Sketchwire-Link-Bytes`; None when it is long ago."""
        return self._tallies.get(number)

    def remember(self, tally: Tally) -> str:
        """Give a tally an id."""
        number = str(next(self._numbers))
        self._tallies[number] = tally
        if len(self._tallies) > REMEMBERED:
            self._tallies.popitem(last=False)
        return number

    def tunnel(self, local_port: int) -> Tally | None:
        """What the latest tunnel from this port of the downstream proxy weighed until now; None when it was none."""
        found = self._tunnels.get(local_port)
        return found.tally if found is not None else None

    def under_way(self) -> Tally:
        """What the exchanges and tunnels that are open weighed until now."""
        sums = Tally()
        for connection in self._connections:
            if (tally := connection.tally) is not None:
                sums.add(tally.up_bytes, tally.down_bytes)
        return sums

    def tunnelled(self, local_port: int, tunnel: NearTunnel) -> None:
        """A tunnel was asked for."""
        self._tunnels[local_port] = tunnel
        self._tunnels.move_to_end(local_port)
        if len(self._tunnels) > REMEMBERED:
            self._tunnels.popitem(last=False)

    def opened(self, connection: LocalConnection) -> None:
        """The downstream proxy connected."""
        self._connections.add(connection)

    def closed(self, connection: LocalConnection) -> None:
        """The downstream proxy closed a connection."""
        self._connections.discard(connection)


def _bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, 0))
    return sock
