"""What of a ledger is asked about, and the SQL that finds it in sums and rows without counting anything twice.

In: a `Scope`. Out: a `View`: conditions and sub-queries. Refuses nothing.

Whole hours (and, further back, days) come from the sums. The hours at the edges come from the rows, as long as they are
kept; further back the edge moves to the beginning of its hour or day, so that two periods that touch never overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, false, func, not_, or_, select, true, union_all

from proxy.ledger.row import Facet
from proxy.ledger.sums import DAY_S, HOUR_S, of_a_row, shares, whole
from proxy.ledger.tables import SHARES, SUMS, daily, facet, response, rollup, subscriber, total

FOR_EVER_S = 2**40


@dataclass(frozen=True, slots=True)
class Scope:
    """Responses from `since_s` (Unix time) up to before `until_s`, of one role, of one subscriber; None: all."""

    since_s: float = 0.0
    until_s: float | None = None
    role: str | None = None
    subscriber: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """A scope in one ledger: its codes by id, and when its oldest single row was written (`oldest_row_s`)."""

    scope: Scope
    facets: dict[int, Facet]
    oldest_s: float

    def whole_buckets(self, table: Any, from_s: int = 0, before_s: int = FOR_EVER_S) -> Any:
        """The sums that lie in the scope and begin between two moments, as a condition on `rollup`, `total` or
        `sample` for which they have a key."""
        first_h, last_h = self._hours()
        first_d, last_d = (_down(edge, DAY_S) for edge in (self.scope.since_s, self._end_s))
        parts = [
            and_(table.c.span_s == whole(span_s), table.c.start_s >= max(first, from_s), table.c.start_s < end)
            for span_s, first, end in (
                (HOUR_S, first_h, min(last_h, before_s)),
                (DAY_S, first_d, min(last_d, before_s)),
            )
        ]
        return or_(*parts)

    def rows(self) -> Any:
        """The rows in the scope, as a condition on `response`."""
        scope = self.scope
        parts: list[Any] = [true()]
        if scope.since_s > 0:
            parts.append(response.c.time_ms >= round(scope.since_s * 1000))
        if scope.until_s is not None:
            parts.append(response.c.time_ms < round(scope.until_s * 1000))
        return and_(*parts, *self._who(response))

    def remaining_rows(self) -> list[Any]:
        """The rows in the scope that no whole bucket holds, as conditions that exclude each other: those not added up
        yet, and those of the edges' hours. Each has an index of its own."""
        first_h, last_h = (edge * 1000 for edge in self._hours())
        parts = [and_(response.c.rolled == whole(0), self.rows())]
        rolled = [response.c.rolled == whole(1), self.rows()]
        before = response.c.time_ms < first_h
        if self.scope.since_s > 0:
            parts.append(and_(*rolled, before))
        if self.scope.until_s is not None:
            parts.append(and_(*rolled, response.c.time_ms >= last_h, not_(before)))
        return parts

    def sums(self) -> Any:
        """Sums and rows by code: a sub-query with `start_s`, `facet_id` and the columns of `SUMS`."""
        table, names = (total if self.scope.subscriber is None else rollup), (*SUMS, "first_ms", "last_ms")
        summed = select(table.c.start_s, table.c.facet_id, *(table.c[name] for name in names))
        start_s = (response.c.time_ms // whole(1000)).label("start_s")
        row = of_a_row()
        single = select(
            start_s, response.c.facet_id, *(row[name].label(name) for name in SUMS),
            response.c.time_ms.label("first_ms"), response.c.time_ms.label("last_ms"),
        )  # fmt: skip
        parts = [summed.where(self.whole_buckets(table), *self._who(table))]
        return union_all(*parts, *(single.where(rest) for rest in self.remaining_rows())).subquery("source")

    def people(self) -> Any:
        """Sums and rows by person: a sub-query with `subscriber_id`, `domain_id` and the columns of `SHARES`. Whole
        days come from the sums per day."""
        keys = ("subscriber_id", "domain_id")
        first_h, last_h = self._hours()
        first_d, last_d = -(-first_h // DAY_S) * DAY_S, _down(last_h, DAY_S)
        days = select(*(daily.c[name] for name in (*keys, *SHARES)))
        parts = [days.where(daily.c.start_s >= first_d, daily.c.start_s < last_d, *self._who(daily))]
        edges = select(*(rollup.c[name] for name in keys), *shares({name: rollup.c[name] for name in SUMS}))
        edges = edges.join_from(rollup, facet, facet.c.id == rollup.c.facet_id)
        if self.scope.since_s > 0:
            parts.append(edges.where(self.whole_buckets(rollup, before_s=first_d), *self._who(rollup)))
        if self.scope.until_s is not None:
            parts.append(edges.where(self.whole_buckets(rollup, max(first_d, last_d)), *self._who(rollup)))
        single = select(*(response.c[name] for name in keys), *shares(of_a_row()))
        single = single.join_from(response, facet, facet.c.id == response.c.facet_id)
        return union_all(*parts, *(single.where(rest) for rest in self.remaining_rows())).subquery("people")

    @property
    def _end_s(self) -> float:
        return FOR_EVER_S if self.scope.until_s is None else self.scope.until_s

    def _hours(self) -> tuple[int, int]:
        """The whole hours: from the first up to before the last. An edge whose rows are gone is rounded down."""
        since, end = (_down(edge, HOUR_S) for edge in (self.scope.since_s, self._end_s))
        if self.scope.since_s > since >= _down(self.oldest_s, HOUR_S):
            since += HOUR_S
        return since, max(since, end)

    def _who(self, table: Any) -> list[Any]:
        parts: list[Any] = []
        if self.scope.role is not None and "role" in table.c:
            parts.append(table.c.role == self.scope.role)
        elif self.scope.role is not None:
            theirs = [number for number, codes in self.facets.items() if codes.role == self.scope.role]
            parts.append(table.c.facet_id.in_(theirs) if theirs else false())
        if self.scope.subscriber is not None:
            ids = select(subscriber.c.id).where(subscriber.c.name == self.scope.subscriber)
            parts.append(table.c.subscriber_id == func.coalesce(ids.scalar_subquery(), -1))
        return parts


def oldest_row_s(connection: Connection) -> float:
    """When the oldest row that is still kept one by one was written; the end of time when there is none. Rows go by
    whole hours, so those of its hour are all there."""
    found = connection.execute(select(func.min(response.c.time_ms))).scalar_one()
    return FOR_EVER_S if found is None else found / 1000


def _down(edge_s: float, step_s: int) -> int:
    return int(edge_s // step_s) * step_s
