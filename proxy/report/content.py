"""What a report says: the answers of a ledger about one period, put together.

In: a ledger and a scope. Out: `Report`. Refuses: ledgers that cannot be read (`LedgerUnreadable`).

Quality is measured by the encoder, so it is upstream's ledger that has it: where downstream's has none, it may be read
from there (`quality_place`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.config import ReportConfig
from proxy.ledger.answers import Group, Point, Quality, Summary
from proxy.ledger.database import Place
from proxy.ledger.read import LedgerUnreadable, Reader, Scope, opened
from proxy.ledger.row import Row
from proxy.report.worth import Worth, measured_rate, worth

if TYPE_CHECKING:
    from proxy.gallery.after import Example

EVERYTHING, DEFAULTS = Scope(), ReportConfig()
HOUR_S, DAY_S = 3_600, 86_400
STEPS_S = (60, 300, 1_800, HOUR_S, 6 * HOUR_S, DAY_S, 7 * DAY_S)
MOST_POINTS = 62
RATE_ROWS = 4_000
EXAMPLES = 5
SUBSCRIBERS = 20
DOWNSTREAM, UPSTREAM = "downstream", "upstream"


@dataclass(frozen=True, slots=True)
class Report:
    """One period. `subscribers` and `examples` are empty in a report that is `shared`; `quality_role` says who
    measured."""

    role: str
    since_s: float
    until_s: float
    summary: Summary
    step_s: int
    points: tuple[Point, ...]
    worth: Worth
    subscriber: str | None = None
    shared: bool = False
    subscribers: tuple[Group, ...] = ()
    quality: Quality | None = None
    quality_role: str = ""
    worst: tuple[Row, ...] = ()
    best: tuple[Row, ...] = ()
    worst_seen: tuple[Example, ...] = ()  # pictures, where the operator keeps some
    best_seen: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a ledger, and on what terms."""

    now_s: float
    scope: Scope = EVERYTHING
    config: ReportConfig = DEFAULTS
    domain_k: int = 5
    shared: bool = False
    quality_place: Place | None = None


def gather(place: Place, wanted: Wanted) -> Report:
    """Read downstream's rows, or upstream's where downstream wrote none, unless the scope names a role."""
    with opened(place) as reader:
        for role in (wanted.scope.role,) if wanted.scope.role else (DOWNSTREAM, UPSTREAM):
            scope = replace(wanted.scope, role=role)
            found = reader.summary(scope, wanted.domain_k)
            if found.totals.responses:
                break
        report = _report(reader, scope, found, wanted)
    return report if report.quality else _with_quality(report, wanted)


def _report(reader: Reader, scope: Scope, found: Summary, wanted: Wanted) -> Report:
    until_s = wanted.now_s if scope.until_s is None else min(scope.until_s, wanted.now_s)
    since_s = scope.since_s or found.first_s or until_s
    step_s, points = _points(reader, scope, found, since_s, until_s)
    rate = None
    if not wanted.config.link_kbit_s:
        rate = measured_rate(row for _, row in reader.rows(scope, limit=RATE_ROWS, descending=True))
    people = () if wanted.shared or scope.subscriber else reader.by_subscriber(scope, SUBSCRIBERS)
    value = worth(
        found.totals, found.by_decision, wanted.config, max(until_s - since_s, 0.0), rate, running=not scope.subscriber
    )
    report = Report(
        scope.role or DOWNSTREAM, since_s, until_s, found, step_s, points, value, scope.subscriber, wanted.shared,
        tuple(group for group in people if group.key[0]), found.quality,
    )  # fmt: skip
    return _with_examples(report, reader, scope) if found.quality else report


def _with_examples(report: Report, reader: Reader, scope: Scope) -> Report:
    report = replace(report, quality_role=scope.role or DOWNSTREAM)
    if report.shared:
        return report
    worst, best = (
        tuple(row for _, row in reader.rows(scope, limit=EXAMPLES, only_images=True, by_quality=True, descending=down))
        for down in (False, True)
    )
    return replace(report, worst=worst, best=best)


def _with_quality(report: Report, wanted: Wanted) -> Report:
    """The same with the quality that upstream measured; it knows no subscribers of downstream's."""
    if wanted.quality_place is None or report.subscriber or report.role == UPSTREAM:
        return report
    if isinstance(wanted.quality_place, Path) and not wanted.quality_place.is_file():
        return report
    scope = replace(wanted.scope, role=UPSTREAM)
    try:
        with opened(wanted.quality_place) as reader:
            quality = reader.quality(scope)
            return _with_examples(replace(report, quality=quality), reader, scope) if quality else report
    except LedgerUnreadable:  # another machine's, or another version's: the report can do without
        return report


def with_pictures(report: Report, folder: Path, runtime_url: str = "") -> Report:
    """The same with the gallery's pictures of its period, drawn by the runtime if there is one. A report to be shared,
    or about one subscriber, has none: a gallery is everybody's, and upstream knows no subscribers of downstream's."""
    if report.shared or report.subscriber:
        return report
    from proxy.gallery import after, shelf  # which take a while to load, and few reports have pictures

    kept = list(shelf.pairs(folder, report.since_s, report.until_s))
    worst, best = (after.drawn(some, runtime_url) for some in after.extremes(kept, EXAMPLES))
    return replace(report, worst_seen=worst, best_seen=best)


def _points(
    reader: Reader, scope: Scope, found: Summary, since_s: float, until_s: float
) -> tuple[int, tuple[Point, ...]]:
    """Totals over time in steps that make a readable chart; short steps only where all rows are still there."""
    span_s = max((found.last_s or until_s) - max(since_s, found.first_s or 0.0), 1.0)
    steps: Sequence[int] = [step for step in STEPS_S if span_s / step <= MOST_POINTS] or STEPS_S[-1:]
    points = reader.series(steps[0], scope)
    if steps[0] < HOUR_S and sum(point.totals.responses for point in points) != found.totals.responses:
        return HOUR_S, reader.series(HOUR_S, scope)
    return steps[0], points
