"""Writes rows to the ledger's database from one background thread.

In: rows, by `Ledger.record`, from any thread. Out: rows in the database, committed a quarter of a second later, and its
maintenance. Refuses to block or to raise: when the queue or the disk is full, the file is locked or the server away,
rows are dropped, counted and that is said aloud.

An SQLite file found corrupt is moved aside and a new one begun, for a ledger that stops recording is worth less than
one with a gap.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from proxy.ledger.database import Place, is_corrupt, open_writer, shown, why
from proxy.ledger.intern import Ids
from proxy.ledger.rollup import Keep, maintain
from proxy.ledger.row import Row, domain, facet, numbers, subscriber
from proxy.ledger.schema import LaterVersion, migrate
from proxy.ledger.tables import domain as domains
from proxy.ledger.tables import response
from proxy.ledger.tables import subscriber as subscribers
from proxy.underway import Underway

logger = logging.getLogger(__name__)

BATCH_ROWS = 2_000
RETRY_OPEN_S = 10.0
MAINTAIN_EVERY_S = 300.0
MAINTAIN_AT_ONCE_S = 0.5
SAY_EVERY_S = 60.0
KEEP = Keep()


class Ledger:
    """The ledger of one proxy process. `written` and `dropped` count rows since it was made.

    `domains`: whether rows' domains are kept. `underway` remembers rows that a kill would lose.
    """

    def __init__(
        self,
        place: Place,
        keep: Keep = KEEP,
        *,
        domains: bool = False,
        queue_rows: int = 20_000,
        commit_every_s: float = 0.25,
        underway: Underway | None = None,
    ) -> None:
        self.place = place
        self.written = 0
        self._keep = keep
        self._domains = domains
        self._commit_every_s = commit_every_s
        self._underway = underway
        self._queue: deque[Row] = deque()
        self._queue_rows = queue_rows
        self._condition = threading.Condition()
        self._dropped_full = 0  # guarded by the condition; the next one belongs to the writer thread
        self._dropped_failed = 0
        self._flush_wanted = 0  # flushes asked for, and the last one that is done
        self._flush_done = 0
        self._closing = False
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._ids = Ids()
        self._open_after = self._maintain_after = self._say_after = 0.0
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def dropped(self) -> int:
        """Rows that could not be kept: the queue was full, or the database could not be written."""
        return self._dropped_full + self._dropped_failed

    @property
    def queued(self) -> int:
        """Rows that wait to be written."""
        return len(self._queue)

    def record(self, row: Row) -> None:
        """Keep a row, soon. Never blocks on the disk and never raises."""
        with self._condition:
            if self._closing or len(self._queue) >= self._queue_rows:
                self._dropped_full += 1
                return
            self._queue.append(row)
            if self._underway is not None:
                self._underway.queued(row.subscriber, row.link_bytes + row.refetch_bytes, row.link_up_bytes)
            if len(self._queue) in (1, BATCH_ROWS):
                self._condition.notify_all()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until what was recorded so far is committed or dropped; False when that took too long."""
        with self._condition:
            if not self._thread.is_alive():
                return not self._queue
            self._flush_wanted += 1
            ticket = self._flush_wanted
            self._condition.notify_all()
            return self._condition.wait_for(lambda: self._flush_done >= ticket, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Commit what is queued and stop. Safe to call twice; rows recorded afterwards count as dropped."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        self._thread.join(timeout_s)
        atexit.unregister(self.close)

    # everything below runs in the writer thread

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(self._pending, timeout=self._idle_s())
                if self._queue and not self._hurry():  # let a batch gather
                    self._condition.wait_for(self._hurry, timeout=self._commit_every_s)
                ticket, closing = self._flush_wanted, self._closing
                rows = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_ROWS))]
                empty = not self._queue
            try:
                self._write(rows)
            except Exception:  # a defect here must not end the thread, nor reach a flow
                self._dropped_failed += len(rows)
                logger.exception("ledger: rows not written")
            if self._underway is not None:
                self._underway.settled(len(rows))
            with self._condition:
                if empty:
                    self._flush_done = ticket
                    self._condition.notify_all()
            if closing and empty:
                self._disconnect()
                return

    def _pending(self) -> bool:
        return bool(self._queue) or self._hurry()

    def _hurry(self) -> bool:
        return self._closing or self._flush_wanted > self._flush_done or len(self._queue) >= BATCH_ROWS

    def _idle_s(self) -> float:
        return min(max(self._maintain_after - time.monotonic(), 0.05), MAINTAIN_EVERY_S)

    def _write(self, rows: list[Row]) -> None:
        values = []
        for row in rows:
            try:
                values.append((facet(row), subscriber(row), domain(row) if self._domains else "", numbers(row)))
            except (TypeError, ValueError, AttributeError, OverflowError) as error:
                self._drop(1, f"a row has an impossible value: {error}")
        for attempt in (1, 2):
            committing = False
            try:
                connection = self._connect()
                if connection is None:
                    self._dropped_failed += len(values)
                    return
                if values:
                    transaction = connection.begin()
                    try:
                        insert_rows(connection, self._ids, values)
                        committing = True
                        transaction.commit()
                    except BaseException:
                        transaction.close()
                        raise
                    self.written += len(values)
                    values = []
                self._maintain(connection)
                return
            except SQLAlchemyError as error:
                gone = isinstance(error, DBAPIError) and error.connection_invalidated
                corrupt = is_corrupt(error)
                self._disconnect()
                if corrupt and attempt == 1 and isinstance(self.place, Path):
                    self._move_aside(self.place, error)
                    continue
                if gone and attempt == 1 and not committing:  # nothing of it can have been kept: the server restarted
                    continue
                self._drop(len(values), why(error))
                return

    def _connect(self) -> Connection | None:
        """The open connection, made at need; None while it is too early to try again."""
        if self._connection is None and time.monotonic() >= self._open_after:
            try:
                self._engine = self._engine or open_writer(self.place)
                connection = self._engine.connect()
                try:
                    migrate(connection)
                except BaseException:
                    connection.close()
                    raise
                self._connection = connection
            except SQLAlchemyError as error:
                if is_corrupt(error):
                    raise
                self._open_failed(error)
            except (OSError, LaterVersion, ValueError) as error:
                self._open_failed(error)
        return self._connection

    def _open_failed(self, error: Exception) -> None:
        self._engine = None
        self._open_after = time.monotonic() + RETRY_OPEN_S
        reason = why(error)
        logger.error("ledger: cannot use %s (%s); rows are dropped until it can be used", shown(self.place), reason)

    def _disconnect(self) -> None:
        self._ids.forget()
        if self._connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._connection.close()
        self._connection = self._engine = None

    def _move_aside(self, path: Path, error: Exception) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside, number = path.with_name(f"{path.name}.corrupt-{stamp}"), 1
        while aside.exists():
            number += 1
            aside = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
        try:
            os.replace(path, aside)
            for suffix in ("-wal", "-shm"):  # they belong to the old file and would poison the new one
                with contextlib.suppress(FileNotFoundError):
                    os.replace(f"{path}{suffix}", f"{aside}{suffix}")
        except OSError as failure:
            logger.error("ledger: %s is corrupt (%s) and cannot be moved aside (%s)", path, why(error), failure)
            return
        logger.error("ledger: %s was corrupt (%s); it was moved to %s and a new one begun", path, why(error), aside)

    def _maintain(self, connection: Connection) -> None:
        """Roll up and prune, a step at a time and not for long; the next batch goes on where this one stopped."""
        if time.monotonic() < self._maintain_after:
            return
        until = time.monotonic() + MAINTAIN_AT_ONCE_S
        while maintain(connection, self._keep, time.time()):
            if time.monotonic() > until:
                return
        self._maintain_after = time.monotonic() + MAINTAIN_EVERY_S

    def _drop(self, count: int, why: str) -> None:
        self._dropped_failed += count
        if count and time.monotonic() >= self._say_after:
            self._say_after = time.monotonic() + SAY_EVERY_S
            logger.warning("ledger: %d rows dropped at %s (%s); %d in all", count, shown(self.place), why, self.dropped)


def insert_rows(connection: Connection, ids: Ids, values: list[tuple[Any, str, str, dict[str, Any]]]) -> None:
    """Insert rows, given as codes, pseudonym, domain and numbers, inside a transaction."""
    ids.refresh(connection)
    facets = ids.facets(connection, (codes for codes, _, _, _ in values))
    people = ids.names(connection, subscribers, (who for _, who, _, _ in values))
    places = ids.names(connection, domains, (where for _, _, where, _ in values))
    names = ("facet_id", "subscriber_id", "domain_id", "rolled", *values[0][3])
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    connection.exec_driver_sql(  # as the driver takes them: half the time of going through Core
        f"INSERT INTO {response.name} ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))})",
        [(facets[codes], people[who], places[where], 0, *numbers.values()) for codes, who, where, numbers in values],
    )
