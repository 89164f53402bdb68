"""How often and for how much money the captioner may ask.

In: the time, tokens used. Out: whether one more request may be made; money. Refuses: nothing.
Pure: clocks are the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass

MILLION = 1_000_000


class TokenBucket:
    """Lets `per_minute` requests through, at most `burst` at once."""

    def __init__(self, per_minute: float, burst: float, now_s: float) -> None:
        self._per_s = per_minute / 60.0
        self._burst = max(burst, 1.0)
        self._held = self._burst
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        """Whether a request may be made now; if so, it is counted."""
        self._held = min(self._burst, self._held + max(now_s - self._at_s, 0.0) * self._per_s)
        self._at_s = now_s
        if self._held < 1.0:
            return False
        self._held -= 1.0
        return True


@dataclass(frozen=True, slots=True)
class Prices:
    """Money for a million tokens."""

    input_per_million: float
    output_per_million: float

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """The price of so many tokens."""
        return (input_tokens * self.input_per_million + output_tokens * self.output_per_million) / MILLION


class DailyMoney:
    """A limit on each UTC day's money; 0 is no limit. `reserve` what a request may cost at most, then `settle`."""

    def __init__(self, limit: float, day: str = "", spent: float = 0.0) -> None:
        self._limit = limit
        self.day = day
        self.spent = spent
        self._reserved = 0.0

    def reserve(self, day: str, at_most: float) -> bool:
        """Whether a request that costs up to `at_most` may be made on `day`; if so, the money is set aside."""
        if day != self.day:
            self.day, self.spent = day, 0.0
        if self._limit and self.spent + self._reserved + at_most > self._limit:
            return False
        self._reserved += at_most
        return True

    def settle(self, at_most: float, cost: float) -> None:
        """Free what was set aside and count what was spent."""
        self._reserved = max(0.0, self._reserved - at_most)
        self.spent += cost
