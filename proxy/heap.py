"""Keeps a long-lived process from growing by what it has given back: the C library keeps freed memory in pieces.

In: nothing. Out: memory returned to the system. Refuses: nothing; where the C library is not glibc, nothing happens.

glibc gives each thread a heap of its own (up to eight per core), and each keeps what was freed between things that
live. A proxy's threads come and go between short jobs, so that what one frees another cannot use: two heaps are enough.

Source: mallopt(3), malloc_trim(3).
"""

from __future__ import annotations

import ctypes
import functools
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
