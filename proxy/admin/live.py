"""What a proxy does at the moment: sums since its start and over the last hour, kept in memory.

In: ledger rows as they happen, and the time of a monotonic clock, in seconds. Out: `Now`, a frozen picture. Refuses:
names of people and sites; only codes and numbers of a row are kept.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from statistics import median

from proxy.ledger.answers import Totals, added, totals_of
from proxy.ledger.row import Row, facet
from proxy.ledger.tables import SUMS

STEP_S = 10
STEPS = 360  # an hour
RECENT, WAITS = 8, 50
FAILURES = frozenset(
    ("deadline", "busy", "crashed", "broken", "breaker-open", "runtime", "unreachable", "internal-error")
)


NOTHING = Totals()


@dataclass(frozen=True, slots=True)
class Recent:
    """One response: when (of the same clock), what was decided about what, and its bytes."""

    at_s: float
    decision: str
    reason: str
    content_type: str
    origin_bytes: int
    crossed_bytes: int


@dataclass(frozen=True, slots=True)
class Step:
    """Ten seconds, numbered since the clock's zero."""

    number: int
    totals: Totals = NOTHING


@dataclass(frozen=True, slots=True)
class Now:
    """Sums since the start, of the last minute and hour; `steps` are those of the last hour that had responses."""

    now_s: float
    started_s: float
    since_start: Totals
    minute: Totals
    hour: Totals
    steps: tuple[Step, ...] = ()
    decisions: tuple[tuple[str, int], ...] = ()
    failures: tuple[tuple[str, int], ...] = ()
    failures_hour: int = 0
    recent: tuple[Recent, ...] = ()
    queue_ms: float | None = None
    draw_ms: float | None = None


@dataclass(slots=True)
class Live:
    """Takes rows; asked at any time for `now`."""

    started_s: float
    _all: Totals = field(default_factory=Totals)
    _steps: deque[Step] = field(default_factory=lambda: deque(maxlen=STEPS))
    _decisions: Counter[str] = field(default_factory=Counter)
    _failures: Counter[str] = field(default_factory=Counter)
    _failed_s: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    _recent: deque[Recent] = field(default_factory=lambda: deque(maxlen=RECENT))
    _queue_ms: deque[float] = field(default_factory=lambda: deque(maxlen=WAITS))
    _draw_ms: deque[float] = field(default_factory=lambda: deque(maxlen=WAITS))

    def observe(self, row: Row, now_s: float) -> None:
        """Count a response. Raises what a row raises that the ledger would not take."""
        codes, one = facet(row), _totals(row)
        self._all = added((self._all, one))
        number = int(now_s // STEP_S)
        if self._steps and self._steps[-1].number == number:
            self._steps[-1] = Step(number, added((self._steps[-1].totals, one)))
        else:
            self._steps.append(Step(number, one))
        for spent_ms, kept in ((row.queue_ms, self._queue_ms), (row.reconstruct_ms, self._draw_ms)):
            if spent_ms is not None:
                kept.append(spent_ms)
        if codes.decision == "overhead":
            return
        self._decisions[codes.decision] += 1
        if codes.decision == "error" or codes.reason in FAILURES:
            self._failures[codes.reason or codes.decision] += 1
            self._failed_s.append(now_s)
        crossed = one.link_bytes + one.refetch_bytes
        self._recent.append(Recent(now_s, codes.decision, codes.reason, codes.content_type, one.origin_bytes, crossed))

    def now(self, now_s: float) -> Now:
        """What there is to tell."""
        last = int(now_s // STEP_S)
        steps = tuple(step for step in self._steps if step.number > last - STEPS)
        return Now(
            now_s,
            self.started_s,
            self._all,
            added(step.totals for step in steps if step.number > last - 60 // STEP_S),
            added(step.totals for step in steps),
            steps,
            tuple(self._decisions.most_common()),
            tuple(self._failures.most_common()),
            sum(1 for at_s in self._failed_s if at_s > now_s - STEPS * STEP_S),
            tuple(reversed(self._recent)),
            median(self._queue_ms) if self._queue_ms else None,
            median(self._draw_ms) if self._draw_ms else None,
        )


def _totals(row: Row) -> Totals:
    known = {name: getattr(row, name, 0) for name in SUMS} | {"responses": 1, "cache_hits": row.cache_hit}
    return totals_of(facet(row), (max(int(known[name]), 0) for name in SUMS))
