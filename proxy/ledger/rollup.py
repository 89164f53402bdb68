"""Keeps the ledger small: rows become sums per hour, hours become days, and what is too old goes.

In: a connection outside a transaction, and the time. Out: how much there was to do. Refuses: to do much at once; each
step is one short transaction, and is called again until it has nothing left.

Every row is added to the sums exactly once: in the transaction that marks it `rolled`. Rows that come late, even for an
hour that was summed up long ago, are added when they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    and_,
    delete,
    exists,
    func,
    literal,
    literal_column,
    select,
    text,
    update,
)

from proxy.ledger.bins import NAMES, bin_column
from proxy.ledger.intern import insert
from proxy.ledger.row import BYTES
from proxy.ledger.tables import EPOCH, SUMS, domain, facet, response, rollup, sample, setting, subscriber

HOUR_S, DAY_S = 3_600, 86_400
SLICE_ROWS = 50_000
PRUNE_ROWS = 5_000
VACUUM_PAGES = 256  # a megabyte
_LOCK = 0x53574D54


@dataclass(frozen=True, slots=True)
class Keep:
    """How long what is kept, in days: single rows, sums per hour, and anything at all."""

    rows_days: float = 7.0
    hours_days: float = 31.0
    all_days: float = 90.0


def maintain(connection: Connection, keep: Keep, now_s: float) -> bool:
    """Do one step of what is to be done; False when nothing was left. Raises sqlalchemy.exc.DBAPIError."""
    return (
        bool(drop_old_rows(connection, _hour_ms(now_s, keep.all_days), rolled_only=False))
        or bool(roll_slice(connection, int(now_s * 1000) - 60_000))
        or bool(drop_old_rows(connection, _hour_ms(now_s, keep.rows_days), rolled_only=True))
        or bool(age_a_day(connection, int(now_s - keep.hours_days * DAY_S)))
        or bool(drop_old_sums(connection, int(now_s - keep.all_days * DAY_S)))
        or shrink(connection)
    )


def roll_slice(connection: Connection, before_ms: int, most_rows: int = SLICE_ROWS) -> int:
    """Add up to about `most_rows` rows from before a moment to the sums; how many were added."""
    with connection.begin():
        if connection.dialect.name == "postgresql":  # rows that come meanwhile are left for the next time
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        if not _only_one(connection):
            return 0
        waiting = and_(response.c.rolled == whole(0), response.c.time_ms < before_ms)
        first = connection.execute(select(func.min(response.c.time_ms)).where(waiting)).scalar_one()
        if first is None:
            return 0
        times = select(response.c.time_ms).where(waiting).order_by(response.c.time_ms)
        end = connection.execute(times.offset(most_rows).limit(1)).scalar_one_or_none()
        chosen = and_(waiting, response.c.time_ms < (before_ms if end is None else max(end, first + 1)))
        _add_sums(connection, chosen)
        for name in NAMES:
            _add_samples(connection, name, chosen)
        return connection.execute(update(response).where(chosen).values(rolled=1)).rowcount


def roll_all(connection: Connection) -> None:
    """Add every row that waits to the sums."""
    while roll_slice(connection, 2**53):
        pass


def age_a_day(connection: Connection, before_s: int) -> int:
    """Turn the hours of the oldest day that ended before a moment into sums per day; how many sums there were."""
    with connection.begin():
        if not _only_one(connection):
            return 0
        oldest = connection.execute(select(func.min(rollup.c.start_s)).where(rollup.c.span_s == HOUR_S)).scalar_one()
        if oldest is None or oldest // DAY_S * DAY_S + DAY_S > before_s:
            return 0
        start_s = oldest // DAY_S * DAY_S
        gone = 0
        for table in (rollup, sample):
            chosen = and_(table.c.span_s == HOUR_S, table.c.start_s >= start_s, table.c.start_s < start_s + DAY_S)
            keys = [column for column in table.primary_key if column.name not in ("span_s", "start_s")]
            bounds = [func.min(table.c.first_ms), func.max(table.c.last_ms)] if table is rollup else []
            sums = SUMS if table is rollup else ("responses",)
            day = select(
                whole(DAY_S), whole(start_s), *keys,
                *(func.sum(table.c[name]) for name in sums), *bounds,
            )  # fmt: skip
            names = [
                "span_s",
                "start_s",
                *(key.name for key in keys),
                *sums,
                *(["first_ms", "last_ms"] if bounds else []),
            ]
            add_up(connection, table, names, day.where(chosen).group_by(*keys))
            gone += connection.execute(delete(table).where(chosen)).rowcount
        return gone


def drop_old_rows(connection: Connection, before_ms: int, rolled_only: bool, most_rows: int = PRUNE_ROWS) -> int:
    """Delete up to `most_rows` single rows from before a moment; how many went."""
    old = and_(response.c.time_ms < before_ms, *([response.c.rolled == 1] if rolled_only else []))
    with connection.begin():
        some = select(response.c.id).where(old).order_by(response.c.time_ms).limit(most_rows)
        return connection.execute(delete(response).where(response.c.id.in_(some.scalar_subquery()))).rowcount


def drop_old_sums(connection: Connection, before_s: int) -> int:
    """Delete sums that end before a moment, and the names that nothing refers to any more; how many sums went."""
    with connection.begin():
        gone = 0
        for table in (rollup, sample):
            gone += connection.execute(delete(table).where(table.c.start_s + table.c.span_s <= before_s)).rowcount
        if gone:
            drop_unused_names(connection)
        return gone


def drop_unused_names(connection: Connection) -> None:
    """Delete pseudonyms and domains that nothing refers to; writers learn it from the epoch."""
    bump_epoch(connection)  # first: it makes writers wait, which might be about to refer to one
    for table, key in ((subscriber, "subscriber_id"), (domain, "domain_id")):
        used = [exists().where(where.c[key] == table.c.id) for where in (response, rollup)]
        connection.execute(delete(table).where(*(~one for one in used)))


def bump_epoch(connection: Connection) -> None:
    """Make writers forget the ids they remember."""
    connection.execute(update(setting).where(setting.c.name == EPOCH).values(value=setting.c.value + 1))


def shrink(connection: Connection) -> bool:
    """Give pages that are no longer used back to the file system; True when there may be more. SQLite only."""
    if connection.dialect.name != "sqlite":
        return False
    with connection.begin():
        free = int(connection.execute(text("PRAGMA freelist_count")).scalar_one())
        mode = int(connection.execute(text("PRAGMA auto_vacuum")).scalar_one())
        if free < VACUUM_PAGES or mode != 2:
            return False
        raw: Any = connection.connection.driver_connection
        raw.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()  # a row per page, all of them fetched
    return True


def whole(number: int) -> ColumnElement[int]:
    """A whole number that is written into the statement: dividing by it stays whole in both dialects."""
    return literal_column(str(number), Integer)


def _hour_ms(now_s: float, days: float) -> int:
    """The beginning of the hour that was so many days ago."""
    return int((now_s - days * DAY_S) // HOUR_S) * HOUR_S * 1000


def _add_sums(connection: Connection, chosen: Any) -> None:
    start_s = (response.c.time_ms // whole(HOUR_S * 1000)) * whole(HOUR_S)
    keys = [response.c.facet_id, response.c.subscriber_id, response.c.domain_id]
    sums = [func.count(), *(func.sum(response.c[name]) for name in (*BYTES, "refetches", "cache_hit"))]
    bounds = [func.min(response.c.time_ms), func.max(response.c.time_ms)]
    made = select(whole(HOUR_S), start_s.label("start_s"), *keys, *sums, *bounds)
    names = ["span_s", "start_s", *(key.name for key in keys), *SUMS, "first_ms", "last_ms"]
    add_up(connection, rollup, names, made.where(chosen).group_by(text("start_s"), *keys))


def _add_samples(connection: Connection, name: str, chosen: Any) -> None:
    start_s = (response.c.time_ms // whole(HOUR_S * 1000)) * whole(HOUR_S)
    number = bin_column(name, response.c[name])
    made = select(
        whole(HOUR_S), start_s.label("start_s"), facet.c.role, literal(name).label("name"),
        number.label("bin"), func.count(),
    )  # fmt: skip
    made = made.join_from(response, facet, facet.c.id == response.c.facet_id)
    made = made.where(chosen, response.c[name].is_not(None)).group_by(text("start_s"), facet.c.role, text("bin"))
    add_up(connection, sample, ["span_s", "start_s", "role", "name", "bin", "responses"], made)


def add_up(connection: Connection, table: Any, names: list[str], made: Any) -> None:
    """Insert sums, or add them to those that are there."""
    statement = insert(connection, table).from_select(names, made)
    added: dict[str, Any] = {
        column.name: column + statement.excluded[column.name]
        for column in table.columns
        if not column.primary_key and column.name not in ("first_ms", "last_ms")
    }
    if table is rollup:
        least, most = (func.min, func.max) if connection.dialect.name == "sqlite" else (func.least, func.greatest)
        added["first_ms"] = least(rollup.c.first_ms, statement.excluded["first_ms"])
        added["last_ms"] = most(rollup.c.last_ms, statement.excluded["last_ms"])
    connection.execute(statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=added))


def _only_one(connection: Connection) -> bool:
    """Whether this process may do maintenance now: SQLite has one writer anyway."""
    if connection.dialect.name == "sqlite":
        return True
    return bool(connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _LOCK}).scalar_one())
