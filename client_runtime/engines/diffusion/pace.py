"""Whether a picture can be drawn in the time there is, judged by the best that was measured here.

In: seconds that batches took. Out: yes or no. Refuses nothing; what was never measured is tried.

Without this, a machine too slow for its deadlines would work on every picture until the deadline and throw it away.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable

_REMEMBERED = 8
_TRY_AGAIN = 16  # every so many refusals one is tried, for a machine may have become quicker


class Pace:
    """Times by what was drawn (`work`: size, steps, pictures)."""

    def __init__(self) -> None:
        self._seconds: defaultdict[Hashable, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._refused: defaultdict[Hashable, int] = defaultdict(int)

    def took(self, work: Hashable, seconds: float) -> None:
        """`work` was drawn, or given up, after `seconds`."""
        self._seconds[work].append(seconds)

    def hopeless(self, work: Hashable, left_s: float) -> bool:
        """Whether even the best time measured is over `left_s`."""
        known = self._seconds.get(work)
        if not known or min(known) <= left_s:
            return False
        self._refused[work] += 1
        return self._refused[work] % _TRY_AGAIN != 0
