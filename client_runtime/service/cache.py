"""Finished reconstructions on disk, found by what they were made of.

In: keys from `key_of` and finished image files. Out: the same files, until the folder is over its limit and the least
recently used go. Refuses: nothing; entries that are cut short or altered are removed, and a full disk means fewer
entries.

An entry is one file, named by its key, in a folder named by the key's first two digits: magic, SHA-256 over key and
the rest, the media type and the engine's label (each after its length in one byte), the image file. It is written
under another name and renamed, so that a reader sees all of it or nothing; after a power cut the digest tells.
Recency is kept in memory and in the files' times, from which the order is rebuilt at the start.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"SWC1"
_DIGEST_BYTES = 32
_BLOCK_BYTES = 4096  # what a file occupies is counted in these
_KEY = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = ".unfinished-"

_log = logging.getLogger("sketchwire.runtime")


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished image file, its media type, and the engine that drew it (`id@hash8`)."""

    body: bytes
    media_type: str
    engine: str


@dataclass(frozen=True, slots=True)
class CacheState:
    """Sizes and counts since the start."""

    entries: int
    size_bytes: int
    limit_bytes: int
    evicted: int
    corrupt: int
    write_errors: int


def key_of(
    bundle: bytes, prompt: str | None, fingerprint: str, media_type: str, quality: int, client: str | None
) -> str:
    """The name of a reconstruction: SHA-256 over everything that changes it, and over whom it may be shown to.

    `fingerprint` names the engine and its weights, `prompt` is the resolved text. `client` is the pseudonym of the
    only user who may share the entry, None when all may. Every part is preceded by its length, so that no two lists
    of parts run into the same bytes.
    """
    digest = hashlib.sha256(b"sketchwire reconstruction 2")  # 2: files say where they come from
    for part in (bundle, prompt, fingerprint, media_type, str(quality), client):
        data = part.encode("utf-8") if isinstance(part, str) else part
        digest.update(b"\x00" if data is None else b"\x01" + len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


class Cache:
    """The folder. Several threads may use it, and several processes, each with its own count of its size."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Open (or make) `folder`, readable by its owner alone. Raises OSError when that is impossible."""
        self._folder, self._limit_bytes = folder, limit_bytes
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()  # least recently used first
        self._size_bytes = 0
        self._evicted = self._corrupt = self._write_errors = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._scan()
        self._evict()

    @property
    def state(self) -> CacheState:
        """The counts now."""
        with self._lock:
            return CacheState(
                len(self._sizes), self._size_bytes, self._limit_bytes, self._evicted, self._corrupt, self._write_errors
            )

    def get(self, key: str) -> Entry | None:
        """The entry, now the most recently used; None when there is none, or none that is whole."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            self._forget(key)
            return None
        entry = parse(key, data)
        if entry is None:
            _log.warning("a damaged cache entry was removed")
            with contextlib.suppress(OSError):
                path.unlink()
            self._forget(key)
            with self._lock:
                self._corrupt += 1
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        self._note(key, len(data))
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Keep `entry`, unless it alone is over the limit or the disk does not take it."""
        data = serialise(key, entry)
        if _on_disk(len(data)) > self._limit_bytes:
            return
        path = self._path(key)
        unfinished = path.with_name(f"{_UNFINISHED}{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
            os.replace(unfinished, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            with self._lock:
                self._write_errors += 1
            _log.warning("a reconstruction was not cached: %s", error.strerror or type(error).__name__)
            return
        self._note(key, len(data))
        self._evict()

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def _note(self, key: str, size_bytes: int) -> None:
        with self._lock:
            self._size_bytes += _on_disk(size_bytes) - self._sizes.pop(key, 0)
            self._sizes[key] = _on_disk(size_bytes)

    def _forget(self, key: str) -> None:
        with self._lock:
            self._size_bytes -= self._sizes.pop(key, 0)

    def _evict(self) -> None:
        while True:
            with self._lock:
                if self._size_bytes <= self._limit_bytes:
                    return
                key, size_bytes = self._sizes.popitem(last=False)
                self._size_bytes -= size_bytes
                self._evicted += 1
            with contextlib.suppress(OSError):
                self._path(key).unlink()

    def _scan(self) -> None:
        """Rebuild the order from the files' times; remove what a crash left unfinished."""
        found: list[tuple[float, str, int]] = []
        for path in self._folder.glob("??/*"):
            try:
                if path.name.startswith(_UNFINISHED):
                    path.unlink()
                elif _KEY.fullmatch(path.name) and path.name[:2] == path.parent.name:
                    stat = path.stat()
                    found.append((stat.st_mtime, path.name, stat.st_size))
            except OSError:
                continue
        for _, key, size_bytes in sorted(found):
            self._note(key, size_bytes)


def _on_disk(size_bytes: int) -> int:
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


def serialise(key: str, entry: Entry) -> bytes:
    """The entry's file."""
    media_type, engine = entry.media_type.encode("ascii"), entry.engine.encode("ascii")
    rest = bytes((len(media_type),)) + media_type + bytes((len(engine),)) + engine + entry.body
    return MAGIC + _digest(key, rest) + rest


def parse(key: str, data: bytes) -> Entry | None:
    """The entry in the file `data`; None when it is not whole, or another's."""
    start = len(MAGIC) + _DIGEST_BYTES
    rest = data[start:]
    if not data.startswith(MAGIC) or data[len(MAGIC) : start] != _digest(key, rest):
        return None
    media_end = 1 + rest[0]
    engine_end = media_end + 1 + rest[media_end]
    return Entry(rest[engine_end:], rest[1:media_end].decode("ascii"), rest[media_end + 1 : engine_end].decode("ascii"))


def _digest(key: str, rest: bytes) -> bytes:
    return hashlib.sha256(key.encode("ascii") + rest).digest()
