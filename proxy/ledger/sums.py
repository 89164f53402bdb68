"""Adds rows to the sums, each row once.

In: a connection outside a transaction. Out: sums per hour (`rollup`, `total`), per day and person (`daily`), histograms
(`sample`), and rows that are marked `rolled` in the same transaction. Refuses to do much at once: about `most_rows` at
a time.

Rows that come late, even for an hour that was added up long ago, are added when they come.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, and_, case, func, literal, literal_column, or_, select, text
from sqlalchemy import update as updated

from proxy.ledger.bins import NAMES, bin_column
from proxy.ledger.intern import insert
from proxy.ledger.row import BYTES
from proxy.ledger.tables import SHARES, SUMS, daily, facet, response, rollup, sample, total

HOUR_S, DAY_S = 3_600, 86_400
SLICE_ROWS = 50_000
_LOCK = 0x53574D54


def roll_slice(connection: Connection, before_ms: int, most_rows: int = SLICE_ROWS) -> int:
    """Add up to about `most_rows` rows from before a moment to the sums; how many were added."""
    with connection.begin():
        if connection.dialect.name == "postgresql":  # rows that come meanwhile are left for the next time
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        if not only_one(connection):
            return 0
        waiting = and_(response.c.rolled == whole(0), response.c.time_ms < before_ms)
        first = connection.execute(select(func.min(response.c.time_ms)).where(waiting)).scalar_one()
        if first is None:
            return 0
        times = select(response.c.time_ms).where(waiting).order_by(response.c.time_ms)
        end = connection.execute(times.offset(most_rows).limit(1)).scalar_one_or_none()
        chosen = and_(waiting, response.c.time_ms < (before_ms if end is None else max(end, first + 1)))
        _add_sums(connection, chosen)
        _add_shares(connection, chosen)
        for name in NAMES:
            _add_samples(connection, name, chosen)
        return connection.execute(updated(response).where(chosen).values(rolled=1)).rowcount


def roll_all(connection: Connection) -> None:
    """Add every row that waits to the sums."""
    while roll_slice(connection, 2**53):
        pass


def add_up(connection: Connection, table: Any, names: list[str], made: Any) -> None:
    """Insert sums, or add them to those that are there."""
    statement = insert(connection, table).from_select(names, made)
    added: dict[str, Any] = {
        column.name: column + statement.excluded[column.name]
        for column in table.columns
        if not column.primary_key and column.name not in ("first_ms", "last_ms")
    }
    if "first_ms" in table.c:
        least, most = (func.min, func.max) if connection.dialect.name == "sqlite" else (func.least, func.greatest)
        added["first_ms"] = least(table.c.first_ms, statement.excluded["first_ms"])
        added["last_ms"] = most(table.c.last_ms, statement.excluded["last_ms"])
    connection.execute(statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=added))


def only_one(connection: Connection) -> bool:
    """Whether this process may do maintenance now: SQLite has one writer anyway."""
    if connection.dialect.name == "sqlite":
        return True
    return bool(connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _LOCK}).scalar_one())


def whole(number: int) -> ColumnElement[int]:
    """A whole number that is written into the statement: dividing by it stays whole in both dialects."""
    return literal_column(str(number), Integer)


def shares(numbers: dict[str, Any]) -> list[ColumnElement[Any]]:
    """The columns of `SHARES` from those of `SUMS`, joined with `facet`: bytes of a connection are no response."""
    none = facet.c.decision == "overhead"
    responses = case((none, whole(0)), else_=numbers["responses"])
    images = case((or_(none, facet.c.image == whole(0)), whole(0)), else_=numbers["responses"])
    rest = [numbers[name] for name in SHARES if name not in ("responses", "images")]
    return [each.label(name) for name, each in zip(SHARES, (responses, images, *rest), strict=True)]


def of_a_row() -> dict[str, Any]:
    """What a row of `response` adds to the columns of `SUMS`."""
    names = {"responses": whole(1), "cache_hits": response.c.cache_hit}
    return {name: names[name] if name in names else response.c[name] for name in SUMS}


def _start_s(step_s: int) -> ColumnElement[int]:
    return (response.c.time_ms // whole(step_s * 1000)) * whole(step_s)


def _add_sums(connection: Connection, chosen: Any) -> None:
    every = [response.c.facet_id, response.c.subscriber_id, response.c.domain_id]
    for table, keys in ((rollup, every), (total, every[:1])):
        sums = [func.count(), *(func.sum(response.c[name]) for name in (*BYTES, "refetches", "cache_hit"))]
        bounds = [func.min(response.c.time_ms), func.max(response.c.time_ms)]
        made = select(whole(HOUR_S), _start_s(HOUR_S).label("start_s"), *keys, *sums, *bounds)
        names = ["span_s", "start_s", *(key.name for key in keys), *SUMS, "first_ms", "last_ms"]
        add_up(connection, table, names, made.where(chosen).group_by(text("start_s"), *keys))


def _add_shares(connection: Connection, chosen: Any) -> None:
    keys = [facet.c.role, response.c.subscriber_id, response.c.domain_id]
    sums = [func.sum(each).label(name) for name, each in zip(SHARES, shares(of_a_row()), strict=True)]
    made = select(_start_s(DAY_S).label("start_s"), *keys, *sums)
    made = made.join_from(response, facet, facet.c.id == response.c.facet_id)
    names = ["start_s", "role", "subscriber_id", "domain_id", *SHARES]
    add_up(connection, daily, names, made.where(chosen).group_by(text("start_s"), *keys))


def _add_samples(connection: Connection, name: str, chosen: Any) -> None:
    number = bin_column(name, response.c[name])
    made = select(
        whole(HOUR_S), _start_s(HOUR_S).label("start_s"), facet.c.role, literal(name).label("name"),
        number.label("bin"), func.count(),
    )  # fmt: skip
    made = made.join_from(response, facet, facet.c.id == response.c.facet_id)
    made = made.where(chosen, response.c[name].is_not(None)).group_by(text("start_s"), facet.c.role, text("bin"))
    add_up(connection, sample, ["span_s", "start_s", "role", "name", "bin", "responses"], made)
