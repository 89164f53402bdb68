"""How long the stages took and how good the pictures were: percentiles and histograms within a view.

In: a connection and a `View`. Out: `Stage`s and `Quality`. Refuses nothing.

They are exact while every response of the view is still there one by one and there are not too many to sort; else they
come from the histograms, which are not kept per subscriber.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, and_, func, or_, select

from proxy.ledger.answers import Quality, Stage
from proxy.ledger.bins import QUALITY, bin_of, nearest_rank, percentile
from proxy.ledger.bins import value as bin_value
from proxy.ledger.row import STAGES
from proxy.ledger.scope import View
from proxy.ledger.tables import response, sample

EXACT_ROWS = 100_000
PERCENTS = (50, 95, 99)


def all_in_rows(connection: Connection, view: View, responses: int) -> bool:
    """Whether all of the view's `responses` are still there one by one, and not too many to sort. For one subscriber
    there is nothing but rows."""
    if view.scope.subscriber is not None:
        return True
    if responses > EXACT_ROWS:
        return False
    overhead = [number for number, codes in view.facets.items() if codes.decision == "overhead"]
    condition = and_(view.rows(), response.c.facet_id.not_in(overhead)) if overhead else view.rows()
    some = select(response.c.id).where(condition).limit(EXACT_ROWS + 1).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one()) == responses


def stages(connection: Connection, view: View, exact: bool) -> tuple[Stage, ...]:
    """The stages that ran, in their order."""
    if not exact:
        found = histograms(connection, view, STAGES)
        made = []
        for name, counts in found.items():
            if counts:
                p50, p95, p99 = (round(percentile(name, counts, p), 3) for p in PERCENTS)
                made.append(Stage(name, sum(counts.values()), p50, p95, p99, exact=False))
        return tuple(made)
    columns = [response.c[name] for name in STAGES]
    some = or_(*(column.is_not(None) for column in columns))
    values = connection.execute(select(*columns).where(view.rows(), some)).all()
    made = []
    for place, name in enumerate(STAGES):
        if known := sorted(row[place] for row in values if row[place] is not None):
            p50, p95, p99 = (nearest_rank(known, p) for p in PERCENTS)
            made.append(Stage(name, len(known), p50, p95, p99))
    return tuple(made)


def quality(connection: Connection, view: View, exact: bool) -> Quality | None:
    """The measured similarities; None when none was measured."""
    counts: Counter[int]
    if exact:
        column = response.c.quality
        known = sorted(connection.execute(select(column).where(view.rows(), column.is_not(None))).scalars())
        counts = Counter(bin_of(QUALITY, value) for value in known)
        marks = [nearest_rank(known, p) for p in (5, 50, 95)] if known else []
    else:
        counts = histograms(connection, view, (QUALITY,))[QUALITY]
        marks = [percentile(QUALITY, counts, p) for p in (5, 50, 95)] if counts else []
    if not marks:
        return None
    bins = tuple((bin_value(QUALITY, number), counts[number]) for number in sorted(counts))
    p5, p50, p95 = marks
    return Quality(sum(counts.values()), p5, p50, p95, bins)


def histograms(connection: Connection, view: View, names: Sequence[str]) -> dict[str, Counter[int]]:
    """Responses per bin, from the sums and from the rows that are not in them."""
    found: dict[str, Counter[int]] = {name: Counter() for name in names}
    query = select(sample.c.name, sample.c.bin, func.sum(sample.c.responses)).where(sample.c.name.in_(names))
    query = query.where(view.whole_buckets(sample)).group_by(sample.c.name, sample.c.bin)
    if view.scope.role is not None:
        query = query.where(sample.c.role == view.scope.role)
    for name, number, count in connection.execute(query):
        found[name][int(number)] += int(count)
    columns = [response.c[name] for name in names]
    for rest in view.remaining_rows():
        for values in connection.execute(select(*columns).where(rest)):
            for name, value in zip(names, values, strict=True):
                if value is not None:
                    found[name][bin_of(name, value)] += 1
    return found
