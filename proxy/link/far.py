"""The far end: listens for paired near ends and asks the upstream proxy for what they want.

In: connections from anywhere. Out: requests to the upstream proxy on loopback, its answers over the link. Refuses:
everyone who is not paired, with a closed connection; revoked clients at once, also when they are connected. A client
that replaced its key may finish over the old connection what it had begun, for a minute, and begin nothing there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.link import keys, pairing
from proxy.link.events import Opened
from proxy.link.exchange import FarExchange
from proxy.link.heads import BadHead
from proxy.link.meter import Tally, add_totals
from proxy.link.origin import Pool, source_address
from proxy.link.peers import Peer, Peers, PeersUnreadable
from proxy.link.secure import Secured, server_context
from proxy.link.session import INTERNAL_ERROR, PATIENT, REFUSED_STREAM, Patience
from proxy.link.tunnel import FarTunnel
from proxy.link.wire import Wire

logger = logging.getLogger("sketchwire.link")

WATCH_S = 1.0
MAX_STRANGERS = 32  # connections that are not paired, at one time
RETIRED_S = 60.0  # for what is under way on a connection whose key was replaced


@dataclass(frozen=True, slots=True)
class FarSettings:
    """`folder` has the key and the peers; it listens at `host` and `port`; `ca_file` is the proxy's authority."""

    folder: Path
    host: str
    port: int
    ca_file: Path | None = None


class FarEnd:
    """The server; `authorization` gives the credentials that the upstream proxy wants, if any."""

    def __init__(
        self,
        settings: FarSettings,
        authorization: Callable[[], str | None] = lambda: None,
        patience: Patience = PATIENT,
    ) -> None:
        self._settings = settings
        self._patience = patience
        self._authorization = authorization
        self._peers = Peers(settings.folder)
        self._key = keys.load_or_make(settings.folder)
        self._trusted: frozenset[str] = frozenset()
        self._context = server_context(self._key.certificate, self._key.private, ())
        self._wires: set[Wire] = set()
        self._closed: dict[str, Tally] = {}
        self._retired: dict[str, tuple[str, float]] = {}  # replaced keys: the new one, and until when streams may go on
        self._server: asyncio.Server | None = None
        self._pool: Pool | None = None
        self._watch: asyncio.Task[None] | None = None
        self._upstream = ("", 0)

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, upstream_host: str, upstream_port: int) -> None:
        """Listen. Raises OSError when the port is taken, PeersUnreadable."""
        self._upstream = (upstream_host, upstream_port)
        self._pool = Pool(upstream_host, upstream_port, self._authorization)
        self._refresh()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._wire, self._settings.host, self._settings.port, backlog=256)
        self._watch = asyncio.create_task(self._watching())

    async def stop(self, grace_s: float = 0.0) -> None:
        """Say goodbye, let streams end within `grace_s`, close."""
        if self._watch is not None:
            self._watch.cancel()
        if self._server is not None:
            self._server.close()
        for wire in [each for each in self._wires if each.is_open]:
            wire.session.leave()
            wire.flush()
        until = asyncio.get_running_loop().time() + grace_s
        while any(wire.is_open and wire.session.open_streams for wire in self._wires):
            if asyncio.get_running_loop().time() >= until:
                break
            await asyncio.sleep(0.05)
        for wire in list(self._wires):
            wire.close("the upstream proxy stops")
        if self._pool is not None:
            self._pool.close()

    def totals(self) -> dict[str, Tally]:
        """Bytes on the wire by kind, of all connections since the start."""
        return add_totals(self._closed, (wire.meter.totals() for wire in self._wires))

    # Owner

    def opened(self, wire: Wire) -> None:
        """Let paired clients in."""
        peer = self._known().get(wire.peer)
        if peer is None:
            return wire.abort("not paired")
        if peer.replaces:
            self._retired[peer.replaces] = wire.peer, asyncio.get_running_loop().time() + RETIRED_S
            self._peers.settle(wire.peer)
        logger.info("link: %s connected", peer.name)

    def guest(self, wire: Wire) -> pairing.Guest | None:
        """Who pairs with a stranger, or takes a paired client's new key."""
        peer = wire.secured.peer or ""
        if peer and peer not in self._known():
            return None
        if sum(not each.is_open for each in self._wires) > MAX_STRANGERS:
            return None
        ca = self._settings.ca_file
        text = ca.read_text(encoding="ascii") if ca is not None and ca.exists() else ""
        return pairing.Guest(self._settings.folder, self._key, self._peers, text, peer)

    def asked(self, wire: Wire, event: Opened) -> None:
        """A request, or a tunnel."""
        assert self._pool is not None
        if wire.peer in self._retired and wire.peer not in self._known():
            return wire.session.reset(event.stream_id, REFUSED_STREAM)
        source = source_address(wire.peer, self._upstream[0])
        try:
            if dict(event.fields).get(b":method") == b"CONNECT":
                handler: FarExchange | FarTunnel = FarTunnel(wire, event, self._pool, source)
            else:
                handler = FarExchange(wire, event, self._pool, source)
        except BadHead as error:
            logger.warning("link: a request is refused: %s", error)
            wire.session.reset(event.stream_id, INTERNAL_ERROR)
            return
        wire.handlers[event.stream_id] = handler
        handler.start()

    def lost(self, wire: Wire, why: str) -> None:
        """A client is gone."""
        self._wires.discard(wire)
        self._closed = add_totals(self._closed, [wire.meter.totals()])
        logger.info("link: a connection ended: %s", why)

    # inside

    def _wire(self) -> Wire:
        wire = Wire(Secured(self._context, server_side=True), client=False, owner=self, patience=self._patience)
        self._wires.add(wire)
        return wire

    def _known(self) -> dict[str, Peer]:
        try:
            return self._peers.all()
        except PeersUnreadable as error:
            logger.error("link: nobody can connect: %s", error)
            return {}

    def _refresh(self) -> None:
        """Take up pairings, revocations and a rotated key of our own."""
        key = keys.load_or_make(self._settings.folder)
        known = self._known()
        if frozenset(known) != self._trusted or key != self._key:
            self._key, self._trusted = key, frozenset(known)
            self._context = server_context(key.certificate, key.private, [peer.pem for peer in known.values()])
        for wire in [each for each in self._wires if each.peer and each.peer not in known]:
            new, until_s = self._retired.get(wire.peer, ("", 0.0))
            busy = wire.is_open and wire.session.open_streams
            if new not in known or not busy or asyncio.get_running_loop().time() >= until_s:
                wire.abort("no longer paired")

    async def _watching(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                self._refresh()
            except Exception:
                logger.exception("link: the list of peers cannot be taken up")
