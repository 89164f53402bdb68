"""Keeps originals of what was rewritten for a few minutes: failure, Range, "show me the original" read them first.

In: an origin's answer and who asked for it. Out: the same answer, for the same client, until its time is over.
Refuses: answers larger than a quarter of the limit; no URL is kept readable, neither in memory nor on disk.

One-time addresses and captchas must not be asked for twice, so even `no-store` answers are kept, but in memory only.
Memory is used first; when it is full, the oldest originals move to files (0600) of a private folder, named at random
and deleted when the process ends and again when it starts.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from proxy.headers import Headers

_ENTRY_BYTES = 512  # what an entry weighs besides its body
_LARGEST_SHARE = 4


@dataclass(frozen=True, slots=True)
class Original:
    """A complete 200 answer as it came from the origin; the body still has its Content-Encoding."""

    headers: Headers
    body: bytes


@dataclass(slots=True)
class _Entry:
    headers: Headers
    body: bytes | None  # None: in `file`
    file: Path | None
    size_bytes: int
    expires_s: float
    may_leave_memory: bool


class Spool:
    """A bounded store of originals. `memory_bytes` of `max_bytes` are memory; without a folder all of it is."""

    def __init__(self, max_bytes: int, ttl_s: float, folder: Path | None = None, memory_bytes: int = 64 << 20) -> None:
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._folder = folder
        self._memory_limit = min(memory_bytes, max_bytes) if folder else max_bytes
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()  # oldest first
        self.memory_bytes = 0
        self.disk_bytes = 0
        if folder:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            self._delete_leftovers()

    def put(self, key: bytes, original: Original, now_s: float) -> None:
        """Keep `original` until `now_s` (a monotonic clock) plus the time to live, or until space runs out."""
        self._drop(key)
        self._expire(now_s)
        size_bytes = len(original.body) + _ENTRY_BYTES
        if size_bytes > self._max_bytes // _LARGEST_SHARE:
            return
        no_store = "no-store" in original.headers.directives("cache-control")
        entry = _Entry(original.headers, original.body, None, size_bytes, now_s + self._ttl_s, not no_store)
        self._entries[key] = entry
        self.memory_bytes += size_bytes
        self._shrink()

    def get(self, key: bytes, now_s: float) -> Original | None:
        """The original kept under `key`, or None."""
        self._expire(now_s)
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.body is not None:
            return Original(entry.headers, entry.body)
        try:
            return Original(entry.headers, entry.file.read_bytes()) if entry.file else None
        except OSError:
            self._drop(key)
            return None

    def close(self) -> None:
        """Forget everything and delete the files."""
        for key in list(self._entries):
            self._drop(key)
        if self._folder:
            self._delete_leftovers()

    def _shrink(self) -> None:
        """Move the oldest bodies from memory to disk, then drop the oldest entries, until both are within bounds."""
        if self.memory_bytes > self._memory_limit:
            for key, entry in list(self._entries.items()):
                if self.memory_bytes <= self._memory_limit:
                    break
                if entry.body is not None and not (entry.may_leave_memory and self._to_disk(entry)):
                    self._drop(key)
        while self.memory_bytes + self.disk_bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _to_disk(self, entry: _Entry) -> bool:
        if self._folder is None or entry.body is None:
            return False
        file = self._folder / f"{secrets.token_hex(16)}.original"
        try:
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(entry.body)
        except OSError:  # a full disk costs the original's second life, nothing else
            file.unlink(missing_ok=True)
            return False
        entry.file, entry.body = file, None
        self.memory_bytes -= entry.size_bytes
        self.disk_bytes += entry.size_bytes
        return True

    def _expire(self, now_s: float) -> None:
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if entry.expires_s > now_s:
                return
            self._drop(key)

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        if entry.file is None:
            self.memory_bytes -= entry.size_bytes
            return
        self.disk_bytes -= entry.size_bytes
        with contextlib.suppress(OSError):
            entry.file.unlink(missing_ok=True)

    def _delete_leftovers(self) -> None:
        if self._folder:
            for file in self._folder.glob("*.original"):
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)
