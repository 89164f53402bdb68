"""Remembers what the encoder made of an image, so that popular images pay once, also after a restart.

In: encoding requests and their results. Out: the same result for the same bytes on the same terms, whoever asks.
Refuses: results that say nothing about the image (deadline, queue, crash), and to grow over its limits.

The key is a digest of the content, of every term of the request (tier, modes, formats and the page's words among them),
of the receiver's engine with its fingerprint, and of the version of the encoder and its calibration: a bundle that
holds one person's page text is only found by who sends the same text. What must not be stored (`lasting` False) stays
in memory. On disk it is one SQLite file, private to its user, whose loss or damage costs nothing but work.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from proxy.encode import Declined, Encoded, EncodeRequest
from proxy.encode.floor import fingerprint
from proxy.policy import Reason

log = logging.getLogger("sketchwire.encoded-cache")
T = TypeVar("T")

KEY_BYTES = 24
ENCODER_VERSION = 3  # raise it when the encoder makes something else of the same image
_LASTING = frozenset(
    (
        Reason.TOO_SMALL,
        Reason.TOO_MANY_PIXELS,
        Reason.ANIMATED,
        Reason.ALPHA,
        Reason.BROKEN,
        Reason.UNSUPPORTED_FORMAT,
        Reason.KIND,
        Reason.NO_GAIN,
        Reason.TIER,
    )
)
_ENTRY_BYTES = 1024  # what an entry weighs besides its body
_SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
    key BLOB PRIMARY KEY, used_s INTEGER NOT NULL, size INTEGER NOT NULL, head TEXT NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_use ON results (used_s);
"""


class EncodedCache:
    """At most `max_bytes` of results in memory and, with a `file`, `disk_bytes` of them on disk."""

    def __init__(self, max_bytes: int = 32 * 1024 * 1024, file: Path | None = None, disk_bytes: int = 0) -> None:
        self._max_bytes = max_bytes
        self._results: OrderedDict[bytes, Encoded | Declined] = OrderedDict()
        self.size_bytes = 0
        self._disk = _Disk(file, disk_bytes) if file is not None and disk_bytes else None

    def key(self, request: EncodeRequest, engine: str = "") -> bytes:
        """The digest of a request, content and terms, for a receiver whose engine is called `engine`."""
        terms = [(f.name, getattr(request, f.name)) for f in fields(request) if f.name != "data"]
        salt = blake2b(repr((ENCODER_VERSION, fingerprint(), engine, terms)).encode(), digest_size=32).digest()
        return blake2b(request.data, key=salt, digest_size=KEY_BYTES).digest()

    def get(self, key: bytes) -> Encoded | Declined | None:
        """The result kept in memory under `key`, or None."""
        result = self._results.get(key)
        if result is not None:
            self._results.move_to_end(key)
        return result

    async def find(self, key: bytes) -> Encoded | Declined | None:
        """The result kept under `key` in memory or on disk, or None."""
        result = self.get(key)
        if result is None and self._disk is not None:
            result = await self._disk.find(key)
            if result is not None:
                self._remember(key, result)
        return result

    def put(self, key: bytes, result: Encoded | Declined, lasting: bool = False) -> None:
        """Keep a result that would be the same next time; with `lasting`, on disk too."""
        if isinstance(result, Declined) and result.reason not in _LASTING:
            return
        self._remember(key, result)
        if lasting and self._disk is not None:
            self._disk.put(key, result)

    async def close(self) -> None:
        """Finish writing."""
        if self._disk is not None:
            await self._disk.close()

    def _remember(self, key: bytes, result: Encoded | Declined) -> None:
        before = self._results.pop(key, None)
        if before is not None:
            self.size_bytes -= _size_bytes(before)
        self._results[key] = result
        self.size_bytes += _size_bytes(result)
        while self.size_bytes > self._max_bytes:
            _, oldest = self._results.popitem(last=False)
            self.size_bytes -= _size_bytes(oldest)


class _Disk:
    """The SQLite file and the one thread that touches it; an error switches it off until the next start."""

    def __init__(self, file: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoded-cache")
        self._base: sqlite3.Connection | None = self._thread.submit(_open, file).result()
        self._size_bytes = self._thread.submit(self._guarded, self._sum, 0).result()

    async def find(self, key: bytes) -> Encoded | Declined | None:
        work = lambda base: self._find(base, key)  # noqa: E731
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work, None)

    def put(self, key: bytes, result: Encoded | Declined) -> None:
        with suppress(RuntimeError):  # closed: the process ends
            self._thread.submit(self._guarded, lambda base: self._put(base, key, result), None)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._end)
        self._thread.shutdown(wait=False)

    def _guarded(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        if self._base is None:
            return otherwise
        try:
            return work(self._base)
        except sqlite3.Error as error:
            log.error("the file of encoded images is of no use (%s); going on without it", error)
            self._end()
            return otherwise

    def _end(self) -> None:
        base, self._base = self._base, None
        if base is not None:
            with suppress(sqlite3.Error):
                base.close()

    def _sum(self, base: sqlite3.Connection) -> int:
        return int(base.execute("SELECT COALESCE(SUM(size), 0) FROM results").fetchone()[0])

    def _find(self, base: sqlite3.Connection, key: bytes) -> Encoded | Declined | None:
        row = base.execute("SELECT head, body FROM results WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        try:
            result = result_of(json.loads(row[0]), bytes(row[1]))
        except (ValueError, TypeError, KeyError):  # written by another version
            base.execute("DELETE FROM results WHERE key = ?", (key,))
            return None
        base.execute("UPDATE results SET used_s = ? WHERE key = ?", (int(time.time()), key))
        return result

    def _put(self, base: sqlite3.Connection, key: bytes, result: Encoded | Declined) -> None:
        head, body = parts_of(result)
        size = _size_bytes(result)
        if size > self._max_bytes // 4:
            return
        before = base.execute("SELECT size FROM results WHERE key = ?", (key,)).fetchone()
        row = (key, int(time.time()), size, json.dumps(head), body)
        base.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)", row)
        self._size_bytes += size - (before[0] if before else 0)
        while self._size_bytes > self._max_bytes:
            oldest = base.execute("SELECT key, size FROM results ORDER BY used_s LIMIT 1").fetchone()
            if oldest is None:
                self._size_bytes = 0
                break
            base.execute("DELETE FROM results WHERE key = ?", (oldest[0],))
            self._size_bytes -= oldest[1]


def _open(file: Path) -> sqlite3.Connection | None:
    """The database in `file`, made anew if it is damaged; None if that fails too."""
    for attempt in range(2):
        try:
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
            base = sqlite3.connect(file, isolation_level=None)
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = NORMAL")  # a crash may cost the last results, never the file
            base.execute("PRAGMA auto_vacuum = INCREMENTAL")
            base.executescript(_SCHEMA)
            return base
        except (sqlite3.Error, OSError) as error:
            log.warning("%s cannot be used (%s)%s", file.name, error, "; starting a new one" if not attempt else "")
            for suffix in ("", "-wal", "-shm"):
                with suppress(OSError):
                    Path(f"{file}{suffix}").unlink(missing_ok=True)
    return None


def parts_of(result: Encoded | Declined) -> tuple[dict[str, Any], bytes]:
    """A result as (what JSON can hold, the body)."""
    if isinstance(result, Declined):
        return {"declined": result.reason.value, "detail": result.detail, "kind": result.kind}, b""
    plain = replace(result, shortlist=None)
    return {f.name: getattr(plain, f.name) for f in fields(plain) if f.name not in ("body", "stage_ms", "shortlist")}, (
        result.body
    )


def result_of(head: dict[str, Any], body: bytes) -> Encoded | Declined:
    """The result that `parts_of` took apart. Raises ValueError, TypeError, KeyError for what is none."""
    if "declined" in head:
        return Declined(Reason(head["declined"]), head["detail"], head["kind"])
    return Encoded(body, **head)


def _size_bytes(result: Encoded | Declined) -> int:
    return _ENTRY_BYTES + (len(result.body) if isinstance(result, Encoded) else 0)
