"""Writes rows to the ledger's file from one background thread.

In: rows, by `Ledger.record`, from any thread. Out: rows in SQLite, committed within half a second. Refuses to block or
to raise: when the queue or the disk is full or the file is locked, rows are dropped, counted and that is said aloud.

The file is in write-ahead mode with `synchronous=NORMAL`: a crash of the process loses at most the last half second, a
power cut perhaps a little more, and neither corrupts the file. A file found corrupt is moved aside and a new one
begun, for a ledger that stops recording is worth less than one with a gap.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from pathlib import Path

from proxy.config import LedgerConfig
from proxy.ledger.row import COLUMNS, Row, stored_values
from proxy.ledger.schema import LaterVersion, migrate

logger = logging.getLogger(__name__)

BATCH_ROWS = 2_000
BUSY_S = 2.0
RETRY_OPEN_S = 10.0
PRUNE_EVERY_S = 3_600.0
PRUNE_ROWS = 5_000
SAY_EVERY_S = 60.0
WAL_BYTES = 16 * 1024 * 1024
INSERT = f"INSERT INTO image ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


def ledger_file(config: LedgerConfig, state_dir: str | Path) -> Path:
    """Where a role's ledger is: what the configuration says, else `ledger.sqlite` in the role's state folder."""
    return Path(config.file).expanduser() if config.file else Path(state_dir).expanduser() / "ledger.sqlite"


class Ledger:
    """The ledger of one proxy process. `written` and `dropped` count rows since it was made."""

    def __init__(
        self, path: Path, keep_days: float = 90.0, *, queue_rows: int = 20_000, commit_every_s: float = 0.5
    ) -> None:
        self.path = Path(path)
        self.written = 0
        self._keep_s = keep_days * 86_400
        self._commit_every_s = commit_every_s
        self._queue: deque[Row] = deque()
        self._queue_rows = queue_rows
        self._condition = threading.Condition()
        self._dropped_full = 0  # guarded by the condition; the next one belongs to the writer thread
        self._dropped_failed = 0
        self._flush_wanted = 0  # flushes asked for, and the last one that is done
        self._flush_done = 0
        self._closing = False
        self._connection: sqlite3.Connection | None = None
        self._open_after = self._prune_after = self._say_after = 0.0
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def dropped(self) -> int:
        """Rows that could not be kept: the queue was full, or the file could not be written."""
        return self._dropped_full + self._dropped_failed

    def record(self, row: Row) -> None:
        """Keep a row, soon. Never blocks on the disk and never raises."""
        with self._condition:
            if self._closing or len(self._queue) >= self._queue_rows:
                self._dropped_full += 1
                return
            self._queue.append(row)
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
                self._condition.wait_for(self._pending, timeout=PRUNE_EVERY_S)
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

    def _write(self, rows: list[Row]) -> None:
        values = []
        for row in rows:
            try:
                values.append(stored_values(row))
            except (TypeError, ValueError, AttributeError, OverflowError) as error:
                self._drop(1, f"a row has an impossible value: {error}")
        for attempt in (1, 2):
            try:
                connection = self._connect()
                if connection is None:
                    self._dropped_failed += len(values)
                    return
                if values:
                    _insert(connection, values)
                    self.written += len(values)
                    values = []
                self._prune(connection)
                return
            except sqlite3.Error as error:
                corrupt = _corrupt(error)
                self._disconnect()
                if corrupt and attempt == 1:
                    self._move_aside(error)
                    continue
                self._drop(len(values), str(error))
                return

    def _connect(self) -> sqlite3.Connection | None:
        """The open connection, made at need; None while it is too early to try again."""
        if self._connection is None and time.monotonic() >= self._open_after:
            try:
                self._connection = _open(self.path)
            except sqlite3.Error as error:
                if _corrupt(error):
                    raise
                self._open_failed(error)
            except (OSError, LaterVersion) as error:
                self._open_failed(error)
        return self._connection

    def _open_failed(self, error: Exception) -> None:
        self._open_after = time.monotonic() + RETRY_OPEN_S
        logger.error("ledger: cannot use %s (%s); rows are dropped until it can be used", self.path, error)

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _move_aside(self, error: Exception) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside, number = self.path.with_name(f"{self.path.name}.corrupt-{stamp}"), 1
        while aside.exists():
            number += 1
            aside = self.path.with_name(f"{self.path.name}.corrupt-{stamp}-{number}")
        try:
            os.replace(self.path, aside)
            for suffix in ("-wal", "-shm"):  # they belong to the old file and would poison the new one
                with contextlib.suppress(FileNotFoundError):
                    os.replace(f"{self.path}{suffix}", f"{aside}{suffix}")
        except OSError as failure:
            logger.error("ledger: %s is corrupt (%s) and cannot be moved aside (%s)", self.path, error, failure)
            return
        logger.error("ledger: %s was corrupt (%s); it was moved to %s and a new one begun", self.path, error, aside)

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Delete rows older than the limit, a few thousand at a time; the next batch goes on where this one stopped."""
        if time.monotonic() < self._prune_after:
            return
        deleted = connection.execute(
            "DELETE FROM image WHERE id IN (SELECT id FROM image WHERE time_s < ? ORDER BY time_s LIMIT ?)",
            (time.time() - self._keep_s, PRUNE_ROWS),
        ).rowcount
        if deleted < PRUNE_ROWS:
            self._prune_after = time.monotonic() + PRUNE_EVERY_S

    def _drop(self, count: int, why: str) -> None:
        self._dropped_failed += count
        if count and time.monotonic() >= self._say_after:
            self._say_after = time.monotonic() + SAY_EVERY_S
            logger.warning("ledger: %d rows dropped at %s (%s); %d in all", count, self.path, why, self.dropped)


def _insert(connection: sqlite3.Connection, values: list[tuple[float | int | str | None, ...]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(INSERT, values)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would make it readable to all
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _corrupt(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
