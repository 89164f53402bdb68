"""Keeps the ledger small: rows become sums per hour, hours become days, and what is too old goes.

In: a connection outside a transaction, and the time. Out: how much there was to do. Refuses: to do much at once; each
step is one short transaction, and is called again until it has nothing left.

Rows become sums in `proxy.ledger.sums`. Sums go by whole days (UTC), so that every table knows the same days.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, func, select, text, union, update

from proxy.ledger.sums import DAY_S, HOUR_S, add_up, only_one, roll_slice, whole
from proxy.ledger.tables import (
    EPOCH,
    SUMS,
    daily,
    domain,
    response,
    rollup,
    sample,
    setting,
    subscriber,
    total,
)

PRUNE_ROWS = 5_000
VACUUM_PAGES = 256  # a megabyte


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


def age_a_day(connection: Connection, before_s: int) -> int:
    """Turn the hours of the oldest day that ended before a moment into sums per day; how many sums there were."""
    with connection.begin():
        if not only_one(connection):
            return 0
        oldest = connection.execute(select(func.min(rollup.c.start_s)).where(rollup.c.span_s == HOUR_S)).scalar_one()
        if oldest is None or oldest // DAY_S * DAY_S + DAY_S > before_s:
            return 0
        start_s = oldest // DAY_S * DAY_S
        gone = 0
        for table in (rollup, total, sample):
            chosen = and_(table.c.span_s == HOUR_S, table.c.start_s >= start_s, table.c.start_s < start_s + DAY_S)
            keys = [column for column in table.primary_key if column.name not in ("span_s", "start_s")]
            bounds = [] if table is sample else [func.min(table.c.first_ms), func.max(table.c.last_ms)]
            sums = ("responses",) if table is sample else SUMS
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
    """Delete the sums of days that ended before a moment, and the names that nothing refers to any more; how many sums
    went."""
    end_s = before_s // DAY_S * DAY_S
    with connection.begin():
        gone = connection.execute(delete(daily).where(daily.c.start_s < end_s)).rowcount
        for table in (rollup, total, sample):
            for span_s in (HOUR_S, DAY_S):  # said one by one, that the key finds them
                old = and_(table.c.span_s == span_s, table.c.start_s < end_s)
                gone += connection.execute(delete(table).where(old)).rowcount
        if gone:
            drop_unused_names(connection)
        return gone


def drop_unused_names(connection: Connection) -> None:
    """Delete pseudonyms and domains that nothing refers to; writers learn it from the epoch."""
    bump_epoch(connection)  # first: it makes writers wait, which might be about to refer to one
    for table, key in ((subscriber, "subscriber_id"), (domain, "domain_id")):
        used = union(*(select(where.c[key]) for where in (response, daily)))  # whom rollup has, daily has
        connection.execute(delete(table).where(table.c.id.not_in(used)))


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
        for _ in range(VACUUM_PAGES):  # Python's sqlite3 does one step of a statement that gives no columns: one page
            raw.execute("PRAGMA incremental_vacuum(1)")
    return True


def _hour_ms(now_s: float, days: float) -> int:
    """The beginning of the hour that was so many days ago."""
    return int((now_s - days * DAY_S) // HOUR_S) * HOUR_S * 1000
