"""Reads a ledger: sums for reports, and rows.

In: a ledger's place and a `Scope`: a time, a role, a subscriber. Out: `Summary`, `Point`s over time, `Group`s, rows.
Refuses: a ledger that is missing, is none, or was made by another version (`LedgerUnreadable`). Changes nothing; a
proxy may be writing meanwhile.

`opened` gives a `Reader` that sees one snapshot, for several questions; the functions below it ask one.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from proxy.ledger.answers import Group, Point, Quality, Stage, Summary, Totals, added, grouped, totals_of
from proxy.ledger.bins import QUALITY, bin_column, bin_of, nearest_rank, percentile
from proxy.ledger.bins import value as bin_value
from proxy.ledger.database import Place, open_reader, shown, why
from proxy.ledger.rollup import whole
from proxy.ledger.row import OTHER, STAGES, Facet, Row
from proxy.ledger.schema import MIGRATIONS, version
from proxy.ledger.scope import Scope, merged_source, oldest_row_s, raw_condition
from proxy.ledger.tables import SUMS, domain, facet, response, sample, subscriber

EXACT_ROWS = 100_000
NO_DOMAIN = ""
ALL = Scope()


class LedgerUnreadable(Exception):
    """There is no ledger at this place, or it cannot be read; the message says which and what to do."""


@dataclass(slots=True)
class Reader:
    """Answers from one snapshot of a ledger."""

    connection: Connection
    _facets: dict[int, Facet] = field(default_factory=dict)
    _oldest_s: float | None = None
    _sums: dict[Scope, list[tuple[Facet, Totals, int, int]]] = field(default_factory=dict)

    def summary(self, scope: Scope = ALL, domain_k: int = 5) -> Summary:
        """Everything the report needs but time series. Domains of fewer than `domain_k` subscribers are "other",
        unless the scope is one subscriber."""
        sums = self._by_facet(scope)
        first = min((low for _, _, low, _ in sums), default=None)
        last = max((high for _, _, _, high in sums), default=None)
        parts = [(codes, totals) for codes, totals, _, _ in sums]
        return Summary(
            first_s=None if first is None else first / 1000,
            last_s=None if last is None else last / 1000,
            totals=added(totals for _, totals in parts),
            images=added(totals for codes, totals in parts if codes.image),
            by_decision=grouped(((codes.decision, codes.reason), totals) for codes, totals in parts),
            by_mode=grouped(((codes.mode,), totals) for codes, totals in parts if codes.mode),
            by_content_type=grouped(((codes.content_type,), totals) for codes, totals in parts),
            by_engine=grouped(((codes.engine,), totals) for codes, totals in parts if codes.engine),
            by_kind=grouped(((codes.kind,), totals) for codes, totals in parts if codes.kind),
            by_domain=self.by_domain(scope, domain_k),
            subscribers=self._subscribers(scope),
            stages=self._stages(scope),
            quality=self._quality(scope),
        )

    def series(self, step_s: int, scope: Scope = ALL) -> tuple[Point, ...]:
        """Totals per `step_s` seconds, steps without responses left out. Steps of less than an hour see only rows
        that are still kept one by one; steps of less than a day see what is older as a lump at the day's start."""
        if step_s < 3600:
            step = ((response.c.time_ms // whole(step_s * 1000)) * whole(step_s)).label("step")
            sums = _row_sums()
            query = select(step, response.c.facet_id, *sums).where(raw_condition(scope, self._roles(scope)))
            query = query.group_by(step, response.c.facet_id)
        else:
            source = self._source(scope)
            step = ((source.c.start_s // whole(step_s)) * whole(step_s)).label("step")
            query = select(step, source.c.facet_id, *_sums(source)).group_by(step, source.c.facet_id)
        points: dict[int, list[Totals]] = {}
        for start_s, facet_id, *numbers in self.connection.execute(query):
            points.setdefault(int(start_s), []).append(totals_of(self.facets[facet_id], numbers))
        return tuple(Point(start_s, added(points[start_s])) for start_s in sorted(points))

    def by_subscriber(self, scope: Scope = ALL, limit: int = 1_000) -> tuple[Group, ...]:
        """Totals per pseudonym, those that saved most first; "" stands for responses without one."""
        return self._by_name(scope, "subscriber_id", subscriber)[:limit]

    def by_domain(self, scope: Scope = ALL, domain_k: int = 5) -> tuple[Group, ...]:
        """Totals per domain; empty when no domains are kept. Domains that fewer than `domain_k` subscribers visited
        are merged as "other", unless the scope is one subscriber."""
        if self.connection.execute(select(domain.c.id).limit(1)).first() is None:
            return ()
        groups = self._by_name(scope, "domain_id", domain)
        if scope.subscriber is None and domain_k > 1:
            source = self._source(scope)
            visitors = select(domain.c.name, func.count(source.c.subscriber_id.distinct()))
            visitors = visitors.join_from(source, domain, domain.c.id == source.c.domain_id)
            counted = self.connection.execute(visitors.where(source.c.subscriber_id != 0).group_by(domain.c.name))
            common = {name for name, people in counted if people >= domain_k}
            groups = grouped(
                ((name if name in common or name == NO_DOMAIN else OTHER,), group.totals)
                for group in groups
                for name in group.key
            )
        return groups

    def rows(
        self, scope: Scope = ALL, *, after_id: int = 0, limit: int = 1_000, only_images: bool = False,
        by_quality: bool = False, descending: bool = False,
    ) -> list[tuple[int, Row]]:  # fmt: skip
        """Rows that are still kept one by one, each with its id: oldest first, or by measured quality, worst first;
        `descending` turns the order round."""
        query = _row_query().where(raw_condition(scope, self._roles(scope)), response.c.id > after_id)
        if only_images:
            query = query.where(facet.c.image == 1)
        order = [response.c.quality, response.c.id] if by_quality else [response.c.id]
        if by_quality:
            query = query.where(response.c.quality.is_not(None))
        query = query.order_by(*(column.desc() if descending else column for column in order)).limit(limit)
        return [_row(values) for values in self.connection.execute(query).mappings()]

    def each_row(self, scope: Scope = ALL, page: int = 5_000) -> Iterator[tuple[int, Row]]:
        """All of them, oldest first, for exports."""
        after_id = 0
        while found := self.rows(scope, after_id=after_id, limit=page):
            yield from found
            after_id = found[-1][0]

    def has_subscriber(self, name: str) -> bool:
        """Whether the ledger knows a pseudonym."""
        return self.connection.execute(select(subscriber.c.id).where(subscriber.c.name == name)).first() is not None

    @property
    def facets(self) -> dict[int, Facet]:
        """The codes of rows, by id."""
        if not self._facets:
            found = self.connection.execute(select(facet))
            self._facets = {number: Facet(*codes) for number, *codes in found}
        return self._facets

    def _roles(self, scope: Scope) -> list[int] | None:
        if scope.role is None:
            return None
        return [number for number, codes in self.facets.items() if codes.role == scope.role]

    def _source(self, scope: Scope) -> Any:
        if self._oldest_s is None:
            self._oldest_s = oldest_row_s(self.connection)
        return merged_source(scope, self._roles(scope), self._oldest_s)

    def _by_facet(self, scope: Scope) -> list[tuple[Facet, Totals, int, int]]:
        if scope in self._sums:
            return self._sums[scope]
        source = self._source(scope)
        bounds = (func.min(source.c.first_ms), func.max(source.c.last_ms))
        query = select(source.c.facet_id, *bounds, *_sums(source)).group_by(source.c.facet_id)
        found = self.connection.execute(query)
        self._sums[scope] = [
            (self.facets[number], totals_of(self.facets[number], sums), low, high) for number, low, high, *sums in found
        ]
        return self._sums[scope]

    def _by_name(self, scope: Scope, key: str, names: Any) -> tuple[Group, ...]:
        source = self._source(scope)
        query = select(source.c[key], source.c.facet_id, *_sums(source)).group_by(source.c[key], source.c.facet_id)
        known: dict[int, str] = {
            number: name for number, name in self.connection.execute(select(names.c.id, names.c.name))
        }
        return grouped(
            ((known.get(number, ""),), totals_of(self.facets[facet_id], sums))
            for number, facet_id, *sums in self.connection.execute(query)
        )

    def _subscribers(self, scope: Scope) -> int:
        source = self._source(scope)
        query = select(func.count(source.c.subscriber_id.distinct())).where(source.c.subscriber_id != 0)
        return int(self.connection.execute(query).scalar_one())

    def _stages(self, scope: Scope) -> tuple[Stage, ...]:
        columns = [response.c[name] for name in STAGES]
        some = or_(*(column.is_not(None) for column in columns))
        condition = and_(raw_condition(scope, self._roles(scope)), some)
        values = self._values(columns, condition) if self._all_in_rows(scope) else None
        stages = []
        for place, name in enumerate(STAGES):
            if values is not None:
                known = sorted(row[place] for row in values if row[place] is not None)
                if known:
                    p50, p95, p99 = (nearest_rank(known, p) for p in (50, 95, 99))
                    stages.append(Stage(name, len(known), p50, p95, p99))
            elif counts := self._counts(scope, name):
                p50, p95, p99 = (round(percentile(name, counts, p), 3) for p in (50, 95, 99))
                stages.append(Stage(name, sum(counts.values()), p50, p95, p99, exact=False))
        return tuple(stages)

    def _quality(self, scope: Scope) -> Quality | None:
        counts: Counter[int] = Counter()
        if self._all_in_rows(scope):
            column = response.c.quality
            condition = and_(raw_condition(scope, self._roles(scope)), column.is_not(None))
            known = sorted(row[0] for row in self._values([column], condition) or ())
            counts.update(bin_of(QUALITY, value) for value in known)
            marks = [nearest_rank(known, p) for p in (5, 50, 95)] if known else []
        else:
            counts = self._counts(scope, QUALITY)
            marks = [percentile(QUALITY, counts, p) for p in (5, 50, 95)] if counts else []
        if not marks:
            return None
        bins = tuple((bin_value(QUALITY, number), counts[number]) for number in sorted(counts))
        p5, p50, p95 = marks
        return Quality(sum(counts.values()), p5, p50, p95, bins)

    def _values(self, columns: list[Any], condition: Any) -> list[Any]:
        query = select(*columns).where(condition)
        return list(self.connection.execute(query))

    def _all_in_rows(self, scope: Scope) -> bool:
        """Whether all responses in scope are still there one by one, and not too many to sort. For one subscriber
        there is nothing but rows: histograms are not kept per subscriber."""
        if scope.subscriber is not None:
            return True
        condition = raw_condition(scope, self._roles(scope))
        without = [number for number, codes in self.facets.items() if codes.decision == "overhead"]
        if without:
            condition = and_(condition, response.c.facet_id.not_in(without))
        some = select(response.c.id).where(condition).limit(EXACT_ROWS + 1).subquery()
        there = int(self.connection.execute(select(func.count()).select_from(some)).scalar_one())
        return there <= EXACT_ROWS and there == sum(totals.responses for _, totals, _, _ in self._by_facet(scope))

    def _counts(self, scope: Scope, name: str) -> Counter[int]:
        """The histogram of a stage or of quality, from the sums and from the rows that are not in them yet."""
        if self._oldest_s is None:
            self._oldest_s = oldest_row_s(self.connection)
        counts: Counter[int] = Counter()
        query = select(sample.c.bin, func.sum(sample.c.responses)).where(sample.c.name == name)
        query = query.where(*scope.whole_buckets(sample, self._oldest_s)).group_by(sample.c.bin)
        if scope.role is not None:
            query = query.where(sample.c.role == scope.role)
        number = bin_column(name, response.c[name]).label("bin")
        raw = select(number, func.count()).where(
            scope.remaining_rows(self._oldest_s, self._roles(scope)), response.c[name].is_not(None)
        )
        for each in (query, raw.group_by(number)):
            for place, count in self.connection.execute(each):
                counts[int(place)] += int(count)
        return counts


@contextlib.contextmanager
def opened(place: Place) -> Iterator[Reader]:
    """A reader of one snapshot of the ledger. Raises LedgerUnreadable."""
    if not isinstance(place, str) and not place.is_file():
        raise LedgerUnreadable(f"{place}: there is no ledger here yet")
    try:
        engine = open_reader(place)
        with engine.connect() as connection, connection.begin():
            _check_version(place, version(connection))
            yield Reader(connection)
    except (SQLAlchemyError, ValueError) as error:
        raise LedgerUnreadable(f"{shown(place)}: cannot be read as a ledger ({why(error)})") from error


def summary(
    place: Place, since_s: float = 0.0, role: str | None = None, *, until_s: float | None = None,
    subscriber: str | None = None, domain_k: int = 5,
) -> Summary:  # fmt: skip
    """Sum up the responses at or after `since_s` (Unix time) and before `until_s`. Raises LedgerUnreadable.

    Only those of `role` when it is given: where both proxies share a ledger, a response has a row of each.
    """
    with opened(place) as reader:
        return reader.summary(Scope(since_s, until_s, role, subscriber), domain_k)


def rows_since(place: Place, after_id: int = 0, limit: int = 1_000) -> list[tuple[int, Row]]:
    """Up to `limit` rows with ids above `after_id`, oldest first, each with its id. Raises LedgerUnreadable."""
    with opened(place) as reader:
        return reader.rows(after_id=after_id, limit=limit)


def _check_version(place: Place, found: int) -> None:
    if found == len(MIGRATIONS):
        return
    if found == 0:
        raise LedgerUnreadable(f"{shown(place)}: cannot be read as a ledger (there is none in it)")
    if found > len(MIGRATIONS):
        raise LedgerUnreadable(f"{shown(place)}: a later version made this ledger (format {found}); update Sketchwire")
    raise LedgerUnreadable(
        f"{shown(place)}: an earlier version made this ledger (format {found}); start the proxy once, or run "
        "`sketchwire ledger migrate` when none is running"
    )


def _sums(source: Any) -> list[Any]:
    return [func.sum(source.c[name]) for name in SUMS]


def _row_sums() -> list[Any]:
    names = ("cache_hit" if name == "cache_hits" else name for name in SUMS if name != "responses")
    return [func.count(), *(func.sum(response.c[name]) for name in names)]


def _row_query() -> Select[Any]:
    numbers = [column for column in response.columns if not column.name.endswith("_id") and column.name != "rolled"]
    codes = [column for column in facet.columns if column.name != "id"]
    names = [func.coalesce(subscriber.c.name, "").label("subscriber"), func.coalesce(domain.c.name, "").label("domain")]
    joined = response.join(facet, facet.c.id == response.c.facet_id)
    joined = joined.outerjoin(subscriber, subscriber.c.id == response.c.subscriber_id)
    joined = joined.outerjoin(domain, domain.c.id == response.c.domain_id)
    return select(*numbers, *codes, *names).select_from(joined)


def _row(values: Any) -> tuple[int, Row]:
    known = dict(values)
    number, time_ms = known.pop("id"), known.pop("time_ms")
    known["image"], known["cache_hit"] = bool(known["image"]), bool(known["cache_hit"])
    return number, Row(time_s=time_ms / 1000, **known)


__all__ = [
    "Group", "LedgerUnreadable", "Point", "Quality", "Reader", "Scope", "Stage", "Summary", "Totals",
    "opened", "rows_since", "summary",
]  # fmt: skip
