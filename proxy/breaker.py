"""A circuit breaker: after failures in a row a stage is left alone for a while, then tried once.

In: successes, failures and the time of a monotonic clock, in seconds. Out: whether to try. Refuses nothing.
"""

from __future__ import annotations


class Breaker:
    """Opens after `failures` in a row, for `cool_s`; then lets one trial through at a time until one succeeds."""

    def __init__(self, failures: int = 5, cool_s: float = 10.0) -> None:
        self._limit = failures
        self._cool_s = cool_s
        self._failures = 0
        self._closed_from_s = 0.0

    def allows(self, now_s: float) -> bool:
        """Whether the stage should be tried now. When the cool time is over, the first caller is the trial."""
        if self._failures < self._limit:
            return True
        if now_s < self._closed_from_s:
            return False
        self._closed_from_s = now_s + self._cool_s
        return True

    def succeeded(self) -> None:
        """The stage works."""
        self._failures = 0

    def failed(self, now_s: float) -> None:
        """The stage failed, once more."""
        self._failures += 1
        if self._failures >= self._limit:
            self._closed_from_s = now_s + self._cool_s
