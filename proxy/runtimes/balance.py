"""Decides which of several runtimes gets the next bundle, and how long to wait before a second one is asked, too.

In: what was asked of each runtime and how it ended, with the time of a monotonic clock in seconds. Out: the order in
which runtimes are worth asking, and a waiting time. Refuses: nothing; with nobody healthy the order is empty.

No sockets and no clocks in here. The order is: healthy before resting, those with the announced engine before others,
then the fewest bundles in hand, then who was asked longest ago. Asking twice ("hedging", Dean and Barroso, "The Tail
at Scale", CACM 2013) starts after the 95th percentile of recent answers, costs at most a share of all requests, and
never goes to a runtime that has more in hand than the first one: under overload nothing is asked twice.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW = 200  # answers whose times are remembered
FEWEST = 20  # answers before anything is asked twice
QUANTILE = 0.95
SHORTEST_HEDGE_S = 0.03
HEDGE_SHARE = 0.05  # of all requests, in the long run
HEDGES_SAVED = 5.0  # and this many at once
FAILURES = 3
REST_S = 5.0


@dataclass(slots=True, eq=False)
class Standing:
    """What is known of one runtime. `label` is its engine's `id@hash8`, None while it cannot be reached."""

    place: int
    label: str | None = None
    in_hand: int = 0
    asked_s: float = -math.inf
    busy_until_s: float = -math.inf
    failures: int = 0  # in a row
    away_until_s: float = -math.inf


class Balance:
    """The standings of `count` runtimes and the times of their answers."""

    def __init__(self, count: int) -> None:
        self.standings = tuple(Standing(place) for place in range(count))
        self._answers_s: deque[float] = deque(maxlen=WINDOW)
        self._hedges = 0.0

    def announced(self) -> str | None:
        """The engine to tell others about: that of most runtimes in reach, of the first listed when there is a tie.

        While models are replaced one after the other both engines draw, and the announced one changes once.
        """
        counted = Counter(standing.label for standing in self.standings if standing.label is not None)
        most = max(counted.values(), default=0)
        return next((s.label for s in self.standings if s.label is not None and counted[s.label] == most), None)

    def order(self, now_s: float) -> list[Standing]:
        """Whom to ask, best first. Taking the first one and asking it is the caller's promise to report back."""
        announced = self.announced()
        ready = [standing for standing in self.standings if now_s >= standing.away_until_s]

        def rank(standing: Standing) -> tuple[bool, bool, int, float, int]:
            resting = now_s < standing.busy_until_s
            other = announced is not None and standing.label != announced
            return resting, other, standing.in_hand, standing.asked_s, standing.place

        return sorted(ready, key=rank)

    def began(self, standing: Standing, now_s: float) -> None:
        """A runtime was asked."""
        standing.in_hand += 1
        standing.asked_s = now_s

    def first_asked(self) -> None:
        """A new picture is wanted, which earns a share of a second question."""
        self._hedges = min(HEDGES_SAVED, self._hedges + HEDGE_SHARE)

    def answered(self, standing: Standing, took_s: float | None) -> None:
        """It drew the picture in `took_s` (None: from its cache, which says nothing about drawing)."""
        standing.in_hand -= 1
        standing.failures = 0
        standing.busy_until_s = -math.inf
        if took_s is not None:
            self._answers_s.append(took_s)

    def refused(self, standing: Standing) -> None:
        """It answered that it will not draw this: no fault of its own."""
        standing.in_hand -= 1
        standing.failures = 0

    def busy(self, standing: Standing, until_s: float) -> None:
        """It has no room until then."""
        standing.in_hand -= 1
        standing.failures = 0
        standing.busy_until_s = until_s

    def failed(self, standing: Standing, now_s: float) -> None:
        """It did not answer, or not with a picture."""
        standing.in_hand -= 1
        standing.failures += 1
        if standing.failures >= FAILURES:
            standing.away_until_s = now_s + REST_S

    def dropped(self, standing: Standing) -> None:
        """The question was taken back."""
        standing.in_hand -= 1

    def hedge_after_s(self) -> float | None:
        """How long to wait for an answer before another runtime is asked, too; None: don't."""
        if len(self._answers_s) < FEWEST or self._hedges < 1.0:
            return None
        return max(SHORTEST_HEDGE_S, quantile(self._answers_s, QUANTILE))

    def hedge(self, first: Standing, tried: Sequence[Standing], now_s: float) -> Standing | None:
        """Whom to ask besides `first`, which is slow; None when nobody has less to do. Spends a second question."""
        for standing in self.order(now_s):
            if standing in tried or now_s < standing.busy_until_s or standing.label != first.label:
                continue
            if standing.in_hand < first.in_hand or standing.in_hand == 0:
                self._hedges -= 1.0
                return standing
        return None


def quantile(values: Sequence[float] | deque[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed (nearest rank). Needs one value."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
