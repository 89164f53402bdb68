"""What the near end's exchanges and tunnels have in common: a stream of the link, and flow control on both sides.

In: bytes of one loopback connection, the link's state. Out: a stream that is opened now or as soon as the link is up.
Refuses: to wait for a link that has been down for long; the loopback connection is closed.
"""

from __future__ import annotations

import abc
import asyncio
import logging
from typing import TYPE_CHECKING

from proxy.link.bodies import MAX_BYTES
from proxy.link.dial import LinkDown
from proxy.link.events import Answered, Came, Cut, Drained, Ended, Event, Fields
from proxy.link.meter import Tally
from proxy.link.schedule import Rank
from proxy.link.session import LinkBroken
from proxy.link.wire import Wire

if TYPE_CHECKING:
    from proxy.link.local import LocalConnection

logger = logging.getLogger("sketchwire.link")

STREAM_WAIT_S = 0.02


class NearStream(abc.ABC):
    """A stream on behalf of a loopback connection."""

    def __init__(self, local: LocalConnection) -> None:
        self._local = local
        self._wire: Wire | None = None
        self._stream_id = 0
        self._tally = Tally()
        self._starting: asyncio.Task[None] | None = None
        self._over = False
        self._unread_bytes = 0  # passed on while the downstream proxy reads slowly
        self._early: list[bytes] = []  # request bytes until there is a stream
        self._end_early = False

    @property
    def tally(self) -> Tally:
        """What it weighed on the wire until now."""
        return self._tally

    def start(self) -> None:
        """Open the stream now if the link is up, else as soon as it is."""
        wire = self._local.near.dialer.current
        if wire is not None and wire.session.can_request:
            self._begin(wire)
        else:
            self._starting = asyncio.get_running_loop().create_task(self._wait())

    def came(self, data: bytes) -> None:
        """More of the request."""
        if self._wire is None:
            self._early.append(data)
            if sum(map(len, self._early)) > MAX_BYTES:
                self._local.pause()
            return
        if not self._wire.session.send(self._stream_id, data):
            self._local.pause()
        self._wire.flush()

    def end(self) -> None:
        """The request is complete."""
        if self._wire is None:
            self._end_early = True
            return
        self._wire.session.send(self._stream_id, b"", ended=True)
        self._wire.flush()

    def cancel(self) -> None:
        """Nobody wants the answer any more."""
        self._leave()

    def writable(self) -> None:
        """The downstream proxy reads on: let more come."""
        self._give_back()

    def _give_back(self) -> None:
        if self._wire is not None and self._unread_bytes:
            self._wire.session.consumed(self._stream_id, self._unread_bytes)
            self._wire.flush()
        self._unread_bytes = 0

    def _pass_on(self, data: bytes, link_bytes: int | None = None) -> None:
        if data:
            self._local.body(data)
        self._unread_bytes += len(data) if link_bytes is None else link_bytes
        if self._local.writable:
            self._give_back()

    def happened(self, event: Event) -> None:
        """An event of the link."""
        match event:
            case Answered():
                self._head(event.fields)
            case Came():
                self._came(event.data)
            case Ended():
                self._ended()
            case Drained():
                self._local.resume()
            case Cut():
                self._cut(event)
            case _:
                pass

    @abc.abstractmethod
    def lost(self, why: str) -> None:
        """The connection broke."""

    # what the two kinds do in ways of their own

    @abc.abstractmethod
    def _fields(self) -> tuple[Fields, Rank, bool]:
        """The stream's head, its rank, and whether nothing follows the head."""

    @abc.abstractmethod
    def _head(self, fields: Fields) -> None:
        """The head of the answer came."""

    @abc.abstractmethod
    def _came(self, data: bytes) -> None:
        """More of the answer came."""

    @abc.abstractmethod
    def _ended(self) -> None:
        """The answer is complete."""

    @abc.abstractmethod
    def _cut(self, event: Cut) -> None:
        """The far end gave the stream up."""

    async def _wait(self) -> None:
        try:
            while True:
                wire = await self._local.near.dialer.connected()
                if wire.session.can_request:
                    break
                await asyncio.sleep(STREAM_WAIT_S)  # as many streams are open as the far end allows
        except LinkDown:
            self._over = True
            return self._local.abort()
        if not self._over:
            self._begin(wire)

    def _begin(self, wire: Wire) -> None:
        fields, rank, ended = self._fields()
        try:
            self._stream_id = wire.session.request(fields, rank, ended)
        except LinkBroken as error:
            logger.warning("link: no stream: %s", error)
            self._over = True
            return self._local.abort()
        self._wire = wire
        wire.handlers[self._stream_id] = self
        before = self._tally
        self._tally = wire.meter.open(self._stream_id)
        self._tally.add(before.up_bytes, before.down_bytes)
        early, self._early = self._early, []
        for data in early:
            self.came(data)
        if self._end_early and not ended:
            self.end()
        self._local.resume()
        wire.flush()

    def _leave(self) -> None:
        """Give the stream up, if it is still there."""
        self._over = True
        if self._starting is not None:
            self._starting.cancel()
        if self._wire is not None and self._wire.handlers.pop(self._stream_id, None) is not None:
            self._wire.session.reset(self._stream_id)
            self._wire.flush()
        self._wire = None
