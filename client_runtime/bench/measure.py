"""Timing: the same work again and again, and what was seen.

In: something that draws a batch. Out: a `Timing`. Refuses: nothing; what the engine raises goes through.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Timing:
    """One mode at one batch size. `first_ms` is the very first call: compilation and choice of kernels are in it.

    `cpu_ms` is the processor time of a call, median, all threads together: it says what the work is on a busy machine.
    """

    mode: str
    batch: int
    calls: int
    first_ms: float
    p50_ms: float
    p95_ms: float
    images_per_s: float
    cpu_ms: float
    peak_bytes: int | None


def measure(
    mode: str,
    batch: int,
    calls: int,
    prepare: Callable[[int], T],
    draw: Callable[[T], object],
    clock: Callable[[], float] = time.perf_counter,
    peak: Callable[[], int | None] = lambda: None,
    warm: int = 1,
    worked: Callable[[], float] = time.process_time,
) -> Timing:
    """`draw` of what `prepare(n)` made (n counts up from 0): once, `warm` times more, then `calls` times timed.

    Preparing is never in the times.
    """

    def timed(number: int) -> tuple[float, float]:
        work = prepare(number)
        began, began_work = clock(), worked()
        draw(work)
        return (clock() - began) * 1000, (worked() - began_work) * 1000

    first_ms, _ = timed(0)
    for number in range(warm):
        timed(1 + number)
    seen = [timed(1 + warm + number) for number in range(calls)]
    times = [wall for wall, _ in seen]
    p50, p95 = percentile(times, 0.5), percentile(times, 0.95)
    cpu_ms = percentile([cpu for _, cpu in seen], 0.5)
    return Timing(mode, batch, calls, first_ms, p50, p95, batch * calls / (sum(times) / 1000), cpu_ms, peak())


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of `values` do not exceed (nearest rank). Raises ValueError if empty."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def reset_process_peak() -> None:
    """Start to measure the process's peak memory anew (Linux)."""
    with suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")


def process_peak_bytes() -> int | None:
    """The most resident memory of this process since the last reset; None where it cannot be read."""
    with suppress(OSError, ValueError, StopIteration):
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    return None
