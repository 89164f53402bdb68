"""Keeps a long-lived process from growing by what it has given back: the C library keeps freed memory in pieces.

In: nothing. Out: memory returned to the system. Refuses: nothing; where the C library is not glibc, or the system not
Linux, nothing happens.

glibc gives each thread a heap of its own (up to eight per core), and each keeps what was freed between things that
live. A proxy's threads come and go between short jobs, so that what one frees another cannot use: two heaps are enough.

What works on pictures of all sizes leaves holes of all sizes: a process that draws 100 of them by turns ends with
twice the memory it needs. Giving it back after each one costs a quarter more time (pages have to be had again), so
`Trimmer` waits until it is worth it.

Source: mallopt(3), malloc_trim(3), proc(5).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from typing import Any

ARENAS = 2
_M_ARENA_MAX = -8


def bound_heaps(arenas: int = ARENAS) -> bool:
    """Use at most so many heaps from now on; False where that cannot be said. Call it before threads are started."""
    library = _glibc()
    return library is not None and bool(library.mallopt(_M_ARENA_MAX, arenas))


def trim() -> bool:
    """Give free memory back to the system; True if there was any. Takes some milliseconds; other threads may run."""
    library = _glibc()
    return library is not None and bool(library.malloc_trim(0))


class Trimmer:
    """Trims whenever the process has grown by `slack_bytes` since the last time."""

    def __init__(self, slack_bytes: int) -> None:
        self._slack_bytes = slack_bytes
        self._least_bytes: int | None = None

    def look(self) -> bool:
        """Call it after a piece of work; True if memory was given back."""
        weighs = resident_bytes()
        if weighs is None:
            return False
        if self._least_bytes is None or weighs < self._least_bytes:
            self._least_bytes = weighs
        if weighs - self._least_bytes < self._slack_bytes:
            return False
        trimmed = trim()
        self._least_bytes = resident_bytes()
        return trimmed


def resident_bytes() -> int | None:
    """The memory that this process holds now, shared pages too; None where that cannot be read."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


@functools.cache
def _glibc() -> Any:
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  (only glibc has it)
        library.malloc_trim.argtypes = [ctypes.c_size_t]
        library.mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
    except (OSError, AttributeError, TypeError):
        return None
    return library
