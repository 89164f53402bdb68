"""What the runtime did since it started, for /healthz.

In: one call per event. Out: plain numbers. Refuses: nothing; the counts live as long as the process.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import Counter
from enum import StrEnum


class Event(StrEnum):
    """What is counted; the value is the key in /healthz."""

    SERVED = "served"  # images answered, hits and fallbacks included
    HITS = "hits"
    FALLBACKS = "fallbacks"
    FAILURES = "failures"  # nothing could draw it, or the service itself broke
    BAD = "bad"  # requests or bundles that make no sense
    BUSY = "busy"  # queue full or draining
    LATE = "late"
    GONE = "gone"  # clients that went away


class Counters:
    """A count per event; only the event loop's thread counts."""

    def __init__(self) -> None:
        self._counts: Counter[Event] = Counter()
        self._started_s = time.monotonic()

    def add(self, event: Event) -> None:
        """One more."""
        self._counts[event] += 1

    def state(self) -> dict[str, float]:
        """Every count, and the process's age and resident memory."""
        counts: dict[str, float] = {event.value: self._counts[event] for event in Event}
        return {**counts, "uptime_s": round(time.monotonic() - self._started_s, 3), "rss_bytes": rss_bytes()}


def rss_bytes() -> int:
    """The process's resident memory; its peak where /proc does not exist."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
