"""What crossed the link and is in no ledger yet, kept where it outlives the process.

In: accounts of connections as they grow, rows that wait to be written. Out: after a kill, the bytes that neither the
ledger nor anybody else remembers, by subscriber. Refuses: nothing; a file that cannot be used is begun anew, and where
that fails, nothing is kept (`None`).

A file of fixed places, mapped into memory: what was written there is in the page cache, and so is there after SIGKILL,
without a system call for each write (a power cut may lose it). A place holds a connection's bytes that no row was
charged with yet. A ring holds rows from the moment they are queued until they are committed: their number counts up,
and the ledger says how many are settled. Layout, little-endian:

    0  magic "SWUW1", rows queued (8 bytes), rows settled (8 bytes), at offsets 0, 8, 16
    64 PLACES × (in use (8 bytes), subscriber (16 characters or zeros), bytes up (8), bytes down (8))
    …  ROWS × (subscriber (16), bytes up (8), bytes down (8))
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("sketchwire.ledger")

MAGIC = b"SWUW1\0\0\0"
PLACES, ROWS = 4_096, 8_192
_HEAD_BYTES = 64
_NUMBER, _PAIR = struct.Struct("<Q"), struct.Struct("<QQ")
_PLACE, _ROW = struct.Struct("<Q16sQQ"), struct.Struct("<16sQQ")
_ROWS_AT = _HEAD_BYTES + PLACES * _PLACE.size
SIZE_BYTES = _ROWS_AT + ROWS * _ROW.size
_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class Left:
    """Bytes of a subscriber (a pseudonym, or empty) that no row tells of."""

    subscriber: str
    up_bytes: int
    down_bytes: int


class Underway:
    """The file of one process. Places belong to one thread; `settled` may be called from another."""

    def __init__(self, mapped: mmap.mmap, file: int) -> None:
        self._map, self._file = mapped, file
        self._free = list(range(PLACES - 1, -1, -1))
        self._queued = self._settled = 0

    def take(self, subscriber: str) -> int:
        """A place for a connection; -1 when all are taken, which is a place that keeps nothing."""
        if not self._free:
            return -1
        place = self._free.pop()
        _PLACE.pack_into(self._map, _at(place), 1, _name(subscriber), 0, 0)
        return place

    def name(self, place: int, subscriber: str) -> None:
        """Whose connection it turned out to be."""
        if place >= 0:
            self._map[_at(place) + 8 : _at(place) + 24] = _name(subscriber).ljust(16, b"\0")

    def write(self, place: int, up_bytes: int, down_bytes: int) -> None:
        """What the connection moved that no row was charged with."""
        if place >= 0:
            _PAIR.pack_into(self._map, _at(place) + 24, up_bytes, down_bytes)

    def free(self, place: int) -> None:
        """The connection is gone, and rows were charged with all of it."""
        if place >= 0:
            _PLACE.pack_into(self._map, _at(place), 0, b"", 0, 0)
            self._free.append(place)

    def queued(self, subscriber: str, link_bytes: int, link_up_bytes: int) -> None:
        """A row waits to be written. Rows must be settled in the order in which they were queued."""
        place = _ROWS_AT + self._queued % ROWS * _ROW.size
        try:
            _ROW.pack_into(self._map, place, _name(subscriber), link_up_bytes, link_bytes - link_up_bytes)
        except (struct.error, TypeError, ValueError, AttributeError):  # the ledger refuses such a row, too
            _ROW.pack_into(self._map, place, b"", 0, 0)
        self._queued += 1
        _NUMBER.pack_into(self._map, 8, self._queued)

    def settled(self, count: int) -> None:
        """The oldest `count` rows are in the ledger, or given up."""
        self._settled += count
        _NUMBER.pack_into(self._map, 16, self._settled)

    def close(self) -> None:
        """Let go of the file; what is in it stays."""
        self._map.close()
        os.close(self._file)


def opened(path: Path) -> tuple[Underway | None, list[Left]]:
    """The file at `path`, empty, and what an earlier process that was killed left in it.

    While another process that lives has the file, it is left alone, and there is none for this one.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        logger.warning("%s cannot be used (%s): a kill will lose what is under way", path, error.strerror)
        return None, []
    left: list[Left] = []
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held until the process ends
        left = leftovers(path)
        os.truncate(file, 0)
        os.truncate(file, SIZE_BYTES)
        mapped = mmap.mmap(file, SIZE_BYTES)
    except OSError as error:
        os.close(file)
        logger.warning("%s cannot be used (%s): a kill will lose what is under way", path, error.strerror)
        return None, left
    mapped[: len(MAGIC)] = MAGIC
    return Underway(mapped, file), left


def leftovers(path: Path) -> list[Left]:
    """What a process left in its file, added up by subscriber; nothing where there is no such file."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    data = b""
    with suppress(OSError):
        data = path.read_bytes()
    if len(data) != SIZE_BYTES or not data.startswith(MAGIC):
        return []
    for in_use, name, up_bytes, down_bytes in _PLACE.iter_unpack(data[_HEAD_BYTES:_ROWS_AT]):
        if in_use == 1:
            _add(found, name, up_bytes, down_bytes)
    queued, settled = _NUMBER.unpack_from(data, 8)[0], _NUMBER.unpack_from(data, 16)[0]
    for number in range(max(settled, queued - ROWS), queued) if queued - settled < _LARGEST else ():
        _add(found, *_ROW.unpack_from(data, _ROWS_AT + number % ROWS * _ROW.size))
    return [Left(name, up, down) for name, (up, down) in sorted(found.items()) if up or down]


def _add(found: dict[str, list[int]], name: bytes, up_bytes: int, down_bytes: int) -> None:
    if up_bytes < _LARGEST and down_bytes < _LARGEST:
        counts = found[name.rstrip(b"\0").decode("ascii", "replace")]
        counts[0] += up_bytes
        counts[1] += down_bytes


def _at(place: int) -> int:
    return _HEAD_BYTES + place * _PLACE.size


def _name(subscriber: str) -> bytes:
    return subscriber.encode("ascii", "replace")[:16]
