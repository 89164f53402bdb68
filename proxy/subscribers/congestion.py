"""Tells whether the link is congested, from what crossed it.

In: bytes that crossed, with the seconds they took; the link's capacity. Out: yes or no. Refuses: to guess a capacity;
without one the answer is always no.

What crossed within the window, divided by what could have, is the link's use. Congested begins at `enter` of the
capacity and ends below `leave`, which is less, so that the answer does not flicker. Bytes of an exchange that took
longer than the window count in proportion.
"""

from __future__ import annotations

from collections import deque

WINDOW_S = 30
LEAVE = 0.75  # of the share at which it begins


class Congestion:
    """The use of one link; times are of a monotonic clock. `capacity_bytes_s` 0: unknown."""

    def __init__(self, capacity_bytes_s: float, enter: float = 0.8) -> None:
        self._capacity_bytes_s, self._enter = capacity_bytes_s, enter
        self._seconds: deque[tuple[int, float]] = deque()  # (second, bytes)
        self._bytes = 0.0
        self._is = False

    def configure(self, capacity_bytes_s: float, enter: float) -> None:
        """Measure against another capacity from now on."""
        self._capacity_bytes_s, self._enter = capacity_bytes_s, enter

    def crossed(self, count: int, took_s: float, now_s: float) -> None:
        """`count` bytes crossed until now, in `took_s` seconds."""
        weighed = count * min(1.0, WINDOW_S / took_s) if took_s > 0 else float(count)
        self._bytes += weighed
        if self._seconds and self._seconds[-1][0] == int(now_s):
            self._seconds[-1] = (int(now_s), self._seconds[-1][1] + weighed)
        else:
            self._seconds.append((int(now_s), weighed))

    def use(self, now_s: float) -> float:
        """The share of the capacity that was used; 0 when the capacity is unknown."""
        while self._seconds and self._seconds[0][0] <= now_s - WINDOW_S:
            self._bytes -= self._seconds.popleft()[1]
        return max(0.0, self._bytes) / (self._capacity_bytes_s * WINDOW_S) if self._capacity_bytes_s else 0.0

    def is_congested(self, now_s: float) -> bool:
        """Whether it is, now."""
        bound = self._enter * LEAVE if self._is else self._enter
        self._is = self._capacity_bytes_s > 0 and self.use(now_s) >= bound
        return self._is
