"""Reads a ledger: sums for reports, and rows.

In: a ledger's place and a `Scope`: a time, a role, a subscriber. Out: `Summary`, `Point`s over time, `Group`s, rows.
Refuses: a ledger that is missing, is none, or was made by another version (`LedgerUnreadable`). Changes nothing; a
proxy may be writing meanwhile.

`opened` gives a `Reader` that sees one snapshot, for several questions; the functions below it ask one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from proxy.ledger import measures
from proxy.ledger.answers import Group, Point, Quality, Stage, Summary, Totals, added, grouped, totals_of
from proxy.ledger.database import Place, open_reader, shown, why
from proxy.ledger.row import OTHER, Facet, Row
from proxy.ledger.schema import MIGRATIONS, version
from proxy.ledger.scope import Scope, View, oldest_row_s
from proxy.ledger.singles import Order, rows
from proxy.ledger.sums import of_a_row, whole
from proxy.ledger.tables import SHARES, SUMS, domain, facet, response, subscriber

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
    _people: dict[Scope, tuple[Group, ...]] = field(default_factory=dict)

    def summary(self, scope: Scope = ALL, domain_k: int = 5) -> Summary:
        """Everything the report needs but time series. Domains of fewer than `domain_k` subscribers are "other",
        unless the scope is one subscriber."""
        sums = self._by_facet(scope)
        first = min((low for _, _, low, _ in sums), default=None)
        last = max((high for _, _, _, high in sums), default=None)
        parts = [(codes, totals) for codes, totals, _, _ in sums]
        exact = self._all_in_rows(scope)
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
            subscribers=sum(bool(group.key[0]) for group in self._by_subscriber(scope)),
            stages=measures.stages(self.connection, self._view(scope), exact),
            quality=measures.quality(self.connection, self._view(scope), exact),
        )

    def quality(self, scope: Scope = ALL) -> Quality | None:
        """The measured similarities alone."""
        return measures.quality(self.connection, self._view(scope), self._all_in_rows(scope))

    def series(self, step_s: int, scope: Scope = ALL) -> tuple[Point, ...]:
        """Totals per `step_s` seconds, steps without responses left out. Steps of less than an hour see only rows
        that are still kept one by one; steps of less than a day see what is older as a lump at the day's start."""
        if step_s < 3600:
            step = ((response.c.time_ms // whole(step_s * 1000)) * whole(step_s)).label("step")
            query = select(step, response.c.facet_id, *(func.sum(each) for each in of_a_row().values()))
            query = query.where(self._view(scope).rows())
            query = query.group_by(step, response.c.facet_id)
        else:
            source = self._view(scope).sums()
            step = ((source.c.start_s // whole(step_s)) * whole(step_s)).label("step")
            query = select(step, source.c.facet_id, *_summed(source, SUMS)).group_by(step, source.c.facet_id)
        points: dict[int, list[Totals]] = {}
        for start_s, facet_id, *numbers in self.connection.execute(query):
            points.setdefault(int(start_s), []).append(totals_of(self.facets[facet_id], numbers))
        return tuple(Point(start_s, added(points[start_s])) for start_s in sorted(points))

    def by_subscriber(self, scope: Scope = ALL, limit: int = 1_000) -> tuple[Group, ...]:
        """Totals per pseudonym, those with most responses first; "" stands for responses without one."""
        return self._by_subscriber(scope)[:limit]

    def by_domain(self, scope: Scope = ALL, domain_k: int = 5) -> tuple[Group, ...]:
        """Totals per domain; empty when no domains are kept. Domains that fewer than `domain_k` subscribers visited
        are merged as "other", unless the scope is one subscriber."""
        if self.connection.execute(select(domain.c.id).limit(1)).first() is None:
            return ()
        groups = self._by_name(scope, "domain_id", domain)
        if scope.subscriber is None and domain_k > 1:
            people = self._view(scope).people()
            pairs = select(people.c.domain_id, people.c.subscriber_id).where(people.c.subscriber_id != 0)
            visits = pairs.distinct().subquery("visits")
            counted = select(domain.c.name, func.count()).join_from(visits, domain, domain.c.id == visits.c.domain_id)
            counts = self.connection.execute(counted.group_by(domain.c.name))
            common = {name for name, visitors in counts if visitors >= domain_k}
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
        order = Order(after_id, limit, only_images, by_quality, descending)
        return rows(self.connection, self._view(scope).rows(), order)

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

    def _view(self, scope: Scope) -> View:
        if self._oldest_s is None:
            self._oldest_s = oldest_row_s(self.connection)
        return View(scope, self.facets, self._oldest_s)

    def _by_facet(self, scope: Scope) -> list[tuple[Facet, Totals, int, int]]:
        if scope not in self._sums:
            source = self._view(scope).sums()
            bounds = (func.min(source.c.first_ms), func.max(source.c.last_ms))
            query = select(source.c.facet_id, *bounds, *_summed(source, SUMS)).group_by(source.c.facet_id)
            self._sums[scope] = [
                (self.facets[number], totals_of(self.facets[number], sums), low, high)
                for number, low, high, *sums in self.connection.execute(query)
            ]
        return self._sums[scope]

    def _by_subscriber(self, scope: Scope) -> tuple[Group, ...]:
        if scope not in self._people:
            self._people[scope] = self._by_name(scope, "subscriber_id", subscriber)
        return self._people[scope]

    def _by_name(self, scope: Scope, key: str, names: Any) -> tuple[Group, ...]:
        people = self._view(scope).people()
        query = select(people.c[key], *_summed(people, SHARES)).group_by(people.c[key])
        known: dict[int, str] = {
            number: name for number, name in self.connection.execute(select(names.c.id, names.c.name))
        }
        return grouped(
            ((known.get(number, ""),), Totals(*(int(each) for each in sums)))
            for number, *sums in self.connection.execute(query)
        )

    def _all_in_rows(self, scope: Scope) -> bool:
        responses = sum(totals.responses for _, totals, _, _ in self._by_facet(scope))
        return measures.all_in_rows(self.connection, self._view(scope), responses)


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


def _summed(source: Any, names: tuple[str, ...]) -> list[Any]:
    return [func.sum(source.c[name]) for name in names]


__all__ = [
    "Group", "LedgerUnreadable", "Point", "Quality", "Reader", "Scope", "Stage", "Summary", "Totals",
    "opened", "rows_since", "summary",
]  # fmt: skip
