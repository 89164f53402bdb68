"""The dashboard of a proxy: watches rows and flows for it, and reads the last day from the ledger.

In: ledger rows, flows' beginnings and ends. Out: routes for the admin port. Refuses: to let a defect reach a flow, or
to read the ledger for nobody; it is read in a thread, once a minute at most, while somebody looks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from addons.underway import UnderWay
from proxy.admin.dashboard import Dashboard
from proxy.admin.live import Live
from proxy.admin.telling import Told, told
from proxy.ledger import Ledger, Place, Row
from proxy.ledger.answers import Totals, added
from proxy.ledger.read import LedgerUnreadable, Scope, opened
from proxy.ledger.row import Role

logger = logging.getLogger("sketchwire.dashboard")

DAY_S, DAY_EVERY_S = 86_400, 60.0


class Board(UnderWay):
    """The addon of one role. `record` counts a row and hands it on to `then`."""

    def __init__(self, role: Role, ledger: Ledger, place: Place) -> None:
        super().__init__()
        self._role = role
        self._place = place
        self._live = Live(time.monotonic())
        self._day: Totals | None = None
        self._day_read_s = -DAY_EVERY_S
        self._reading: asyncio.Task[None] | None = None
        self.dashboard = Dashboard(role, self._tell)
        self._parts: list[tuple[str, Callable[[], str]]] = []
        self.watch("requests in progress", lambda: f"{len(self._under_way):,}")
        self.watch("ledger rows waiting", lambda: f"{ledger.queued:,}")
        self.watch("ledger rows lost", lambda: f"{ledger.dropped:,}")

    def watch(self, name: str, read: Callable[[], str]) -> None:
        """Show the state of one of the proxy's parts."""
        self._parts.append((name, read))

    def recording(self, then: Callable[[Row], None]) -> Callable[[Row], None]:
        """A function that counts a row here and hands it on."""

        def record(row: Row) -> None:
            try:
                self._live.observe(row, time.monotonic())
            except Exception:  # the ledger counts what it cannot take
                logger.exception("a row could not be shown")
            then(row)

        return record

    # hooks

    def done(self) -> None:
        """The proxy ends: nobody needs to watch any more."""
        self.dashboard.close()

    # what it tells

    async def _tell(self) -> Told:
        now_s = time.monotonic()
        if now_s - self._day_read_s >= DAY_EVERY_S and self._reading is None:
            self._day_read_s = now_s
            self._reading = asyncio.create_task(self._read_day())
        return told(self._live.now(now_s), self._day, [(name, _state(read)) for name, read in self._parts])

    async def _read_day(self) -> None:
        try:
            self._day = await asyncio.to_thread(_last_day, self._place, self._role)
        except LedgerUnreadable as error:
            logger.warning("the last day cannot be shown: %s", error)
        finally:
            self._reading = None


def _last_day(place: Place, role: Role) -> Totals:
    with opened(place) as reader:
        points = reader.series(DAY_S, Scope(time.time() - DAY_S, None, role))
    return added(point.totals for point in points)


def _state(read: Callable[[], Any]) -> str:
    try:
        return str(read())
    except Exception:  # a part that is broken must not take the page with it
        logger.exception("a part's state cannot be read")
        return "not known"
