"""What of a ledger is asked about, and the SQL that finds it in sums and rows without counting anything twice.

In: a `Scope`. Out: conditions and a sub-query. Refuses nothing.

Whole hours (and, further back, days) come from the sums. The hours at the edges come from the rows, as long as they are
kept; further back the edge moves to the beginning of its hour or day, so that two periods that touch never overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, false, func, or_, select, true, union_all

from proxy.ledger.rollup import DAY_S, HOUR_S, whole
from proxy.ledger.tables import SUMS, response, rollup, subscriber

FOR_EVER_S = 2**40


@dataclass(frozen=True, slots=True)
class Scope:
    """Responses from `since_s` (Unix time) up to before `until_s`, of one role, of one subscriber; None: all."""

    since_s: float = 0.0
    until_s: float | None = None
    role: str | None = None
    subscriber: str | None = None

    def whole_buckets(self, table: Any, oldest_row_s: float) -> list[Any]:
        """The sums that lie in the scope, as conditions on `rollup` or `sample`."""
        first_h, last_h = self._hours(oldest_row_s)
        first_d, last_d = (_down(edge, DAY_S) for edge in (self.since_s, self._end_s))
        hours = and_(table.c.span_s == HOUR_S, table.c.start_s >= first_h, table.c.start_s < last_h)
        return [or_(hours, and_(table.c.span_s == DAY_S, table.c.start_s >= first_d, table.c.start_s < last_d))]

    def remaining_rows(self, oldest_row_s: float, facets: list[int] | None) -> Any:
        """The rows in the scope that no whole bucket holds: those not added up yet, and those of the edges' hours."""
        first_h, last_h = (edge * 1000 for edge in self._hours(oldest_row_s))
        parts = [response.c.rolled == whole(0)]  # alone it has an index
        if first_h > 0:
            parts.append(response.c.time_ms < first_h)
        if self.until_s is not None:
            parts.append(response.c.time_ms >= last_h)
        return and_(raw_condition(self, facets), or_(*parts))

    @property
    def _end_s(self) -> float:
        return FOR_EVER_S if self.until_s is None else self.until_s

    def _hours(self, oldest_row_s: float) -> tuple[int, int]:
        """The whole hours: from the first up to before the last. An edge whose rows are gone is rounded down."""
        since, end = (_down(edge, HOUR_S) for edge in (self.since_s, self._end_s))
        if self.since_s > since >= _down(oldest_row_s, HOUR_S):
            since += HOUR_S
        return since, max(since, end)


def raw_condition(scope: Scope, facets: list[int] | None) -> Any:
    """The rows in the scope, as a condition on `response`."""
    parts: list[Any] = [true()]
    if scope.since_s > 0:
        parts.append(response.c.time_ms >= round(scope.since_s * 1000))
    if scope.until_s is not None:
        parts.append(response.c.time_ms < round(scope.until_s * 1000))
    return and_(*parts, *_who(response, scope, facets))


def merged_source(scope: Scope, facets: list[int] | None, oldest_row_s: float) -> Any:
    """Sums and rows in the scope as one sub-query, with the columns of `rollup`."""
    keys = ("facet_id", "subscriber_id", "domain_id")
    summed = select(rollup.c.start_s, *(rollup.c[name] for name in (*keys, *SUMS, "first_ms", "last_ms")))
    summed = summed.where(*scope.whole_buckets(rollup, oldest_row_s), *_who(rollup, scope, facets))
    start_s = (response.c.time_ms // whole(1000)).label("start_s")
    names = ("cache_hit" if name == "cache_hits" else name for name in SUMS if name != "responses")
    single = select(
        start_s, *(response.c[name] for name in keys), whole(1).label("responses"),
        *(response.c[name] for name in names), response.c.time_ms, response.c.time_ms,
    )  # fmt: skip
    return union_all(summed, single.where(scope.remaining_rows(oldest_row_s, facets))).subquery("source")


def oldest_row_s(connection: Connection) -> float:
    """When the oldest row that is still kept one by one was written; the end of time when there is none. Rows go by
    whole hours, so those of its hour are all there."""
    found = connection.execute(select(func.min(response.c.time_ms))).scalar_one()
    return FOR_EVER_S if found is None else found / 1000


def _who(table: Any, scope: Scope, facets: list[int] | None) -> list[Any]:
    parts: list[Any] = []
    if facets is not None:
        parts.append(table.c.facet_id.in_(facets) if facets else false())
    if scope.subscriber is not None:
        ids = select(subscriber.c.id).where(subscriber.c.name == scope.subscriber)
        parts.append(table.c.subscriber_id == func.coalesce(ids.scalar_subquery(), -1))
    return parts


def _down(edge_s: float, step_s: int) -> int:
    return int(edge_s // step_s) * step_s
