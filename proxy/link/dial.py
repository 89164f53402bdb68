"""Keeps the near end connected: one connection at a time, found again after it breaks.

In: the far end's address, this installation's key and the pinned certificate. Out: an open `Wire`. Refuses: to wait
longer than one attempt for somebody who asks now (`LinkDown`); in the background it tries again, ever more slowly.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from pathlib import Path

from proxy.link import keys
from proxy.link.events import Opened
from proxy.link.meter import Tally, add_totals
from proxy.link.pairing import Guest
from proxy.link.peers import Peers
from proxy.link.secure import Secured, client_context
from proxy.link.session import PATIENT, Patience
from proxy.link.wire import Wire

logger = logging.getLogger("sketchwire.link")

CONNECT_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30.0
WATCH_S = 5.0
EAGER_S = 1.0  # who asks right after a failure shares it
MOMENTS_S = 4.0  # how long a link that worked may be gone before requests fail


class LinkDown(Exception):
    """The far end cannot be reached now; the message says why."""


class Dialer:
    """The near end's connection."""

    def __init__(self, folder: Path, host: str, port: int, patience: Patience = PATIENT) -> None:
        self._folder, self._host, self._port = folder, host, port
        self._patience = patience
        self._peers = Peers(folder)
        self._wire: Wire | None = None
        self._opening: dict[Wire, asyncio.Future[Wire]] = {}
        self._attempt: asyncio.Task[Wire] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._failures = 0
        self._loop = asyncio.get_running_loop()
        self._failed_s = -EAGER_S
        self._up_s = self._loop.time()  # when the link was last known to work; at first, now
        self._why = ""
        self._session: ssl.SSLSession | None = None
        self._context: ssl.SSLContext | None = None
        self._stamp: tuple[str, ...] = ()
        self._live: set[Wire] = set()
        self._closed: dict[str, Tally] = {}
        self.connections = 0

    def start(self) -> None:
        """Connect, and stay connected."""
        self._keeper = self._loop.create_task(self._keep())

    async def stop(self) -> None:
        """Close."""
        for task in (self._keeper, self._attempt):
            if task is not None:
                task.cancel()
        for wire in list(self._live):
            wire.close("the near end stops")
        await asyncio.sleep(0)

    @property
    def current(self) -> Wire | None:
        """The wire for new streams, when there is one."""
        wire = self._wire
        return wire if wire is not None and wire.is_open and not wire.session.is_leaving else None

    async def connected(self) -> Wire:
        """A wire for new streams. While the link is down for moments only, this tries again. Raises LinkDown."""
        while True:
            try:
                return await self._attempted()
            except LinkDown:
                if self._loop.time() - self._up_s > MOMENTS_S:
                    raise
            await asyncio.sleep(FIRST_PAUSE_S)

    async def _attempted(self) -> Wire:
        """One attempt, shared by all who ask. Raises LinkDown."""
        if self.current is not None:
            return self.current
        if self._attempt is None or self._attempt.done():
            now_s = self._loop.time()
            if now_s - self._failed_s < EAGER_S and now_s - self._up_s > MOMENTS_S:
                raise LinkDown(self._why)
            self._attempt = self._loop.create_task(self._connect())
        wire = await asyncio.shield(self._attempt)
        if not wire.is_open:  # it was turned away while we were not looking
            raise LinkDown(self._why or "the far end closed the connection")
        return wire

    def totals(self) -> dict[str, Tally]:
        """Bytes on the wire by kind, of all connections since the start."""
        return add_totals(self._closed, (wire.meter.totals() for wire in self._live))

    # Owner

    def opened(self, wire: Wire) -> None:
        """TLS is done."""
        if wire.peer not in self._peers.all():
            return wire.abort("the far end's key is not the paired one")
        future = self._opening.pop(wire, None)
        if future is not None and not future.done():
            future.set_result(wire)

    def asked(self, wire: Wire, event: Opened) -> None:
        """A far end opens no streams."""
        wire.session.reset(event.stream_id)

    def guest(self, wire: Wire) -> Guest | None:
        """Nobody pairs with a near end."""
        return None

    def lost(self, wire: Wire, why: str) -> None:
        """A connection is gone."""
        self._live.discard(wire)
        self._closed = add_totals(self._closed, [wire.meter.totals()])
        future = self._opening.pop(wire, None)
        if future is not None and not future.done():
            future.set_exception(LinkDown(why))
        if wire is self._wire:
            self._wire = None
            if wire.heard:
                self._up_s = self._loop.time()
            if wire.heard:
                self._failures = 0
                self._session = wire.secured.session or self._session
            else:  # TLS 1.3 tells a client only afterwards that its certificate is not welcome
                self._failures += 1
                self._failed_s, self._why, self._session = self._loop.time(), why, None
            logger.info("link: the connection ended: %s", why)
        self._wake.set()

    # inside

    async def _connect(self) -> Wire:
        try:
            async with asyncio.timeout(CONNECT_S):
                wire = await self._dial()
        except (OSError, ssl.SSLError, LinkDown, ValueError) as error:  # TimeoutError is an OSError
            self._failures += 1
            self._failed_s = self._loop.time()
            why = str(error) or type(error).__name__
            log = logger.debug if why == self._why else logger.warning  # once is enough
            log("link: %s port %d: %s", self._host, self._port, why)
            self._why, self._session = why, None
            raise LinkDown(self._why) from error
        self._wire, self._why = wire, ""
        self.connections += 1
        logger.info("link: connected%s", " again, TLS resumed" if wire.secured.resumed else "")
        return wire

    async def _dial(self) -> Wire:
        context = self._tls()
        opened: asyncio.Future[Wire] = self._loop.create_future()

        def make() -> Wire:
            secured = Secured(context, server_side=False, session=self._session)
            wire = Wire(secured, client=True, owner=self, patience=self._patience)
            self._live.add(wire)
            self._opening[wire] = opened
            return wire

        await self._loop.create_connection(make, self._host, self._port)
        wire = await opened
        if not wire.is_open:
            raise LinkDown("the far end closed the connection")
        return wire

    def _tls(self) -> ssl.SSLContext:
        key = keys.load_or_make(self._folder)
        peers = self._peers.all()
        if not peers:
            raise LinkDown("not paired yet: run `sketchwire pair join` here with a code from the upstream proxy")
        stamp = (key.fingerprint, *sorted(peers))
        if self._context is None or stamp != self._stamp:
            self._context = client_context(key.certificate, key.private, [peer.pem for peer in peers.values()])
            self._stamp, self._session = stamp, None
        return self._context

    async def _keep(self) -> None:
        while True:
            if self.current is None:
                pause_s = min(FIRST_PAUSE_S * 2**self._failures, LONGEST_PAUSE_S) if self._failures else 0.0
                await asyncio.sleep(pause_s * random.uniform(0.7, 1.3))
                try:
                    await self._attempted()
                except LinkDown:
                    continue
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), WATCH_S)
            self._leave_old_key()

    def _leave_old_key(self) -> None:
        """After a rotation: new streams go over a connection with the new key, old ones end where they are."""
        if self._wire is not None and keys.load_or_make(self._folder).fingerprint != self._stamp[0]:
            self._wire = None
