"""Ids for what is kept once: the codes of rows, pseudonyms, domains.

In: an open transaction and texts. Out: their ids, made at need and remembered. Refuses nothing; after a rollback, or
when names were deleted elsewhere (the epoch in `setting`), `forget` must be called, for what is remembered may be gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from proxy.ledger.row import Facet
from proxy.ledger.tables import EPOCH, domain, facet, setting, subscriber

MOST_REMEMBERED = 50_000
_AT_ONCE = 500


def insert(connection: Connection, table: Table) -> Any:
    """An INSERT of this database's dialect, which knows ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


class Ids:
    """What one writer remembers."""

    def __init__(self) -> None:
        self._facets: dict[Facet, int] = {}
        self._names: dict[str, dict[str, int]] = {subscriber.name: {}, domain.name: {}}
        self._epoch: int | None = None

    def forget(self) -> None:
        """Remember nothing."""
        self._facets.clear()
        for names in self._names.values():
            names.clear()
        self._epoch = None

    def refresh(self, connection: Connection) -> None:
        """Forget if names were deleted since the last transaction; nobody can delete any before this one ends."""
        epoch = connection.execute(
            select(setting.c.value).where(setting.c.name == EPOCH).with_for_update(read=True)
        ).scalar_one()
        if epoch != self._epoch or len(self._names[subscriber.name]) > MOST_REMEMBERED:
            self.forget()
            self._epoch = epoch

    def facets(self, connection: Connection, wanted: Iterable[Facet]) -> dict[Facet, int]:
        """The ids of codes."""
        missing = sorted(set(wanted) - self._facets.keys())
        if missing:
            _add(connection, facet, [codes._asdict() for codes in missing])
            self._facets = {Facet(*codes): number for number, *codes in connection.execute(select(facet))}
        return self._facets

    def names(self, connection: Connection, table: Table, wanted: Iterable[str]) -> dict[str, int]:
        """The ids of names in `table`; no name has id 0."""
        known = self._names[table.name]
        known[""] = 0
        missing = sorted(set(wanted) - known.keys())
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            found = select(table.c.name, table.c.id).where(table.c.name.in_(some))
            known.update((name, number) for name, number in connection.execute(found))
            if new := [{"name": name} for name in some if name not in known]:
                _add(connection, table, new)
                known.update((name, number) for name, number in connection.execute(found))
        return known


def _add(connection: Connection, table: Table, values: list[dict[str, Any]]) -> None:
    connection.execute(insert(connection, table).on_conflict_do_nothing(), values)
