"""Keeps answers on a disk: an SQLite index of heads, and a file for each body.

In: heads and bodies, the latter piece by piece. Out: heads by key, whole bodies. Refuses: to grow over its bounds, to
show the disk what it keeps (`sealed`), to give out a body that is not what was put in (its digest is checked at each
read), and to let a full or broken disk be felt: then the store is off for a while, which is said in the log, and
everything is a miss.

One thread does all the reading and writing; callers wait for heads and bodies, never for what is being written. A body
is live once its row is committed, so a process that is killed leaves a file without a row at worst, which the next
start deletes. Nothing is forced to the disk: after a power failure a digest or SQLite's own journal finds what is torn.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from proxy.cache.entry import Stored, dump, load
from proxy.cache.keys import Keys
from proxy.cache.sealed import Seal, seal_of

logger = logging.getLogger("sketchwire.cache")
T = TypeVar("T")

ENTRY_BYTES = 2048  # what an entry weighs besides its body
MAX_ENTRIES = 200_000
MAX_VARIANTS = 16  # of one key
OFF_S = 300.0
_PENDING_BYTES = 20 * 1024 * 1024  # of one body, on the way to the disk
_INDEX, _LOCK, _BODY = "index.sqlite", "lock", ".body"
_FORMAT = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answer (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, place BLOB NOT NULL, used INTEGER NOT NULL, size INTEGER NOT NULL,
    head BLOB NOT NULL, file TEXT NOT NULL, digest BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS answer_by_key ON answer (key);
CREATE INDEX IF NOT EXISTS answer_by_place ON answer (place);
CREATE INDEX IF NOT EXISTS answer_by_use ON answer (used);
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A stored answer; `number` is the store's own name for it, `size_bytes` its body's size."""

    number: int
    key: bytes
    stored: Stored
    size_bytes: int
    file: str
    digest: bytes


class Draft:
    """A body on its way to the disk. `write` as it comes, then `commit` or `drop`; neither waits."""

    def __init__(self, store: Store, file: str) -> None:
        self._store = store
        self._file = file
        self._size_bytes = self._written_bytes = 0
        self._digest = hashlib.blake2b(digest_size=20)
        self._cipher = store.seal.body(file)
        self._descriptor: int | None = None
        self._over = False

    def write(self, chunk: bytes) -> None:
        """Add a piece; past the store's limits the draft drops itself."""
        if self._over or not chunk:
            return
        self._size_bytes += len(chunk)
        pending_bytes = self._size_bytes - self._written_bytes
        if self._size_bytes > self._store.max_object_bytes or pending_bytes > _PENDING_BYTES:
            self.drop()
        else:
            self._store.work(lambda: self._append(chunk))

    def commit(self, key: bytes, place: bytes, stored: Stored, size_bytes: int | None) -> None:
        """The body is whole: keep it under `key`, unless `size_bytes` was promised and something else came."""
        if self._over:
            return
        if size_bytes is not None and size_bytes != self._size_bytes:
            self.drop()
            return
        self._over = True
        self._store.work(lambda: self._finish(key, place, stored))

    def drop(self) -> None:
        """Forget it."""
        if not self._over:
            self._over = True
            self._store.work(self._unlink)

    # in the store's thread

    def _append(self, chunk: bytes) -> None:
        try:
            if self._descriptor is None:
                self._descriptor = self._store.create(self._file)
            sealed = self._cipher.update(chunk)
            rest = memoryview(sealed)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            self._over = True
            self._unlink()
            raise
        self._written_bytes += len(chunk)
        self._digest.update(sealed)

    def _finish(self, key: bytes, place: bytes, stored: Stored) -> None:
        if self._descriptor is None and self._size_bytes == 0:
            self._descriptor = self._store.create(self._file)
        if self._descriptor is None or self._written_bytes != self._size_bytes:
            self._unlink()
            return
        os.close(self._descriptor)
        self._descriptor = None
        try:
            self._store.insert(key, place, stored, self._size_bytes, self._file, self._digest.digest())
        except (OSError, sqlite3.Error):
            self._unlink()
            raise

    def _unlink(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._store.unlink(self._file)


class Store:
    """At most `max_bytes` in `folder`, of bodies of at most `max_object_bytes`. `now_s` is a monotonic clock."""

    def __init__(
        self, folder: Path, max_bytes: int, max_object_bytes: int, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.max_object_bytes = min(max_object_bytes, max_bytes // 4)
        self.size_bytes = 0
        self.entries = 0
        self._folder = folder
        self._max_bytes = max_bytes
        self._now_s = now_s
        self._off_until_s = float("-inf")
        self._used = 0
        self._keys: dict[bytes, int] = {}  # how many answers a key has, so that most misses need no look
        self.seal: Seal  # from `open` on
        self._base: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="http-cache")

    # for the event loop

    async def open(self) -> None:
        """Take the folder into use; if that fails, the store stays empty and off."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, self._open, None)

    async def close(self) -> None:
        """Finish writing."""
        with contextlib.suppress(RuntimeError):  # closed before
            await asyncio.get_running_loop().run_in_executor(self._thread, self._end)
        self._thread.shutdown(wait=False)

    def knows(self, keys: Keys) -> bool:
        """Whether a look may find something."""
        return keys.common in self._keys or keys.personal in self._keys

    async def find(self, keys: Keys) -> list[Found]:
        """All that is stored under the keys, newest first."""
        return await self._ask(lambda: self._find(keys), [])

    async def read(self, found: Found) -> bytes | None:
        """The body of a stored answer, or None if it is gone or torn."""
        return await self._ask(lambda: self._read(found), None)

    def draft(self) -> Draft | None:
        """A place for a new body; None while the store is off."""
        if self._base is None or self._now_s() < self._off_until_s:
            return None
        return Draft(self, secrets.token_hex(16) + _BODY)

    def update(self, found: Found, stored: Stored) -> None:
        """Replace a stored answer's head."""
        self.work(lambda: self._update(found, stored))

    def remove(self, found: Found) -> None:
        """Forget one answer."""
        self.work(lambda: self._delete([(found.number, found.key, found.size_bytes, found.file)]))

    def invalidate(self, places: Iterable[bytes]) -> None:
        """Forget all answers of these places."""
        wanted = tuple(places)
        marks = ",".join("?" * len(wanted))
        self.work(lambda: self._delete(self._rows(f"place IN ({marks})", wanted)))

    async def settle(self) -> None:
        """Wait until everything asked so far is done."""
        await self._ask(lambda: None, None)

    def work(self, job: Callable[[], None]) -> None:
        """Have `job` done in the store's thread, after all before it."""
        with contextlib.suppress(RuntimeError):  # closed: the process ends
            self._thread.submit(self._guarded, job, None)

    async def _ask(self, job: Callable[[], T], otherwise: T) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, job, otherwise)
        except RuntimeError:
            return otherwise

    # in the store's thread

    def _guarded(self, job: Callable[[], T], otherwise: T) -> T:
        try:
            return job()
        except sqlite3.OperationalError as error:  # full, locked, read-only: the file itself is sound
            self._switch_off(str(error))
        except sqlite3.DatabaseError as error:
            logger.error("the HTTP cache's index is damaged (%s); it is moved aside and a new one begun", error)
            self._start_over()
        except OSError as error:
            self._switch_off(error.strerror or str(error))
        except Exception:
            logger.exception("defect in the HTTP cache's store")
        return otherwise

    def _switch_off(self, why: str) -> None:
        if self._now_s() >= self._off_until_s:
            logger.warning("the HTTP cache takes nothing new for %d s: %s", OFF_S, why)
        self._off_until_s = self._now_s() + OFF_S

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        if self._lock is None:
            self._lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(self._lock)
                self._lock = None
                logger.warning("another process uses the HTTP cache's folder; this one goes on without")
                return
        self.seal = seal_of(self._folder)
        try:
            self._base = self._opened()
            self._count()
        except sqlite3.DatabaseError as error:
            logger.error("the HTTP cache's index cannot be read (%s); it is moved aside and a new one begun", error)
            self._start_over()

    def _opened(self) -> sqlite3.Connection:
        file = self._folder / _INDEX
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
        base = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        try:
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = NORMAL")
            if base.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("its check fails")
            if base.execute("PRAGMA user_version").fetchone()[0] not in (0, _FORMAT):
                raise sqlite3.DatabaseError("written by another version")
            base.executescript(_SCHEMA)
            base.execute(f"PRAGMA user_version = {_FORMAT}")
        except sqlite3.Error:
            base.close()
            raise
        return base

    def _start_over(self) -> None:
        if self._base is not None:
            with contextlib.suppress(sqlite3.Error):
                self._base.close()
        self._base = None
        try:
            index = self._folder / _INDEX
            if index.exists():
                index.replace(self._folder / f"{_INDEX}.damaged")
            for suffix in ("-wal", "-shm"):
                (self._folder / f"{_INDEX}{suffix}").unlink(missing_ok=True)
            self._base = self._opened()
            self._count()
        except (OSError, sqlite3.Error) as error:
            self._base = None
            logger.error("the HTTP cache cannot begin anew (%s); going on without", error)

    def _count(self) -> None:
        """Match rows and files: each without the other is deleted."""
        base = self._there()
        files = {entry.name for entry in os.scandir(self._folder) if entry.name.endswith(_BODY)}
        lost: list[tuple[int, bytes, int, str]] = []
        self._keys, self.size_bytes, self.entries = {}, 0, 0
        for number, key, size, file in base.execute("SELECT id, key, size, file FROM answer").fetchall():
            self._counted(key, size, 1)
            if file in files:
                files.discard(file)
            else:
                lost.append((number, key, size, file))
        self._delete(lost)
        for name in files:
            self.unlink(name)
        self._used = int(base.execute("SELECT COALESCE(MAX(used), 0) FROM answer").fetchone()[0])
        self._evict()

    def _there(self) -> sqlite3.Connection:
        if self._base is None:
            raise sqlite3.OperationalError("the index is not open")
        return self._base

    def _counted(self, key: bytes, size: int, sign: int) -> None:
        self.size_bytes += sign * (size + ENTRY_BYTES)
        self.entries += sign
        count = self._keys.get(key, 0) + sign
        if count > 0:
            self._keys[key] = count
        else:
            self._keys.pop(key, None)

    def _find(self, keys: Keys) -> list[Found]:
        if self._base is None:
            return []
        rows = self._base.execute(
            "SELECT id, key, size, file, head, digest FROM answer WHERE key IN (?, ?) ORDER BY id DESC",
            (keys.common, keys.personal),
        ).fetchall()
        found: list[Found] = []
        for number, key, size, file, head, digest in rows:
            try:
                found.append(Found(number, key, load(self.seal.open_head(head)), size, file, digest))
            except ValueError:
                logger.warning("an entry of the HTTP cache cannot be read and is dropped")
                self._delete([(number, key, size, file)])
        return found

    def _read(self, found: Found) -> bytes | None:
        row = (found.number, found.key, found.size_bytes, found.file)
        try:
            with (self._folder / found.file).open("rb") as file:
                sealed = file.read(found.size_bytes + 1)
        except FileNotFoundError:
            self._delete([row])
            return None
        if len(sealed) != found.size_bytes or hashlib.blake2b(sealed, digest_size=20).digest() != found.digest:
            logger.warning("a body in the HTTP cache is damaged and is dropped")
            self._delete([row])
            return None
        if self._base is not None and self._now_s() >= self._off_until_s:
            self._used += 1
            self._base.execute("UPDATE answer SET used = ? WHERE id = ?", (self._used, found.number))
        return self.seal.body(found.file).update(sealed)

    def _update(self, found: Found, stored: Stored) -> None:
        self._there().execute("UPDATE answer SET head = ? WHERE id = ?", (self.seal.head(dump(stored)), found.number))

    def insert(self, key: bytes, place: bytes, stored: Stored, size: int, file: str, digest: bytes) -> None:
        """Make a body live, in place of what its key had for the same nominated fields."""
        base = self._there()
        before = base.execute(
            "SELECT id, key, size, file, head FROM answer WHERE key = ? ORDER BY id", (key,)
        ).fetchall()
        same = [row[:4] for row in before if self._nominated(row[4]) in (None, stored.nominated)]
        others = [row[:4] for row in before if row[:4] not in same]
        self._used += 1
        row = (key, place, self._used, size, self.seal.head(dump(stored)), file, digest)
        base.execute(
            "INSERT INTO answer (key, place, used, size, head, file, digest) VALUES (?, ?, ?, ?, ?, ?, ?)", row
        )
        self._counted(key, size, 1)
        self._delete([*same, *others[: max(0, len(others) - MAX_VARIANTS + 1)]])
        self._evict()

    def _nominated(self, head: bytes) -> tuple[tuple[str, str], ...] | None:
        try:
            return load(self.seal.open_head(head)).nominated
        except ValueError:
            return None

    def _evict(self) -> None:
        while self.entries and (self.size_bytes > self._max_bytes or self.entries > MAX_ENTRIES):
            oldest = self._rows("1 ORDER BY used LIMIT 16", ())
            if not oldest:
                self._keys, self.size_bytes, self.entries = {}, 0, 0
                return
            excess, doomed = self.size_bytes - self._max_bytes, []
            for row in oldest:
                doomed.append(row)
                excess -= row[2] + ENTRY_BYTES
                if excess <= 0:
                    break
            self._delete(doomed)

    def _rows(self, where: str, values: tuple[bytes, ...]) -> list[tuple[int, bytes, int, str]]:
        if self._base is None:
            return []
        return self._base.execute(f"SELECT id, key, size, file FROM answer WHERE {where}", values).fetchall()

    def _delete(self, rows: list[tuple[int, bytes, int, str]]) -> None:
        base = self._there() if rows else None
        for number, key, size, file in rows:
            if base is not None and base.execute("DELETE FROM answer WHERE id = ?", (number,)).rowcount:
                self._counted(key, size, -1)
            self.unlink(file)

    def create(self, name: str) -> int:
        """A new body's file."""
        return os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def unlink(self, name: str) -> None:
        """Delete a body's file, if there."""
        if name.endswith(_BODY) and "/" not in name:
            with contextlib.suppress(OSError):
                (self._folder / name).unlink(missing_ok=True)

    def _end(self) -> None:
        base, self._base = self._base, None
        if base is not None:
            with contextlib.suppress(sqlite3.Error):
                base.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
