"""What a person may ask of a ledger: a copy of what it holds about them, and to be forgotten.

In: a ledger's place and a pseudonym. Out: their rows and sums; or a ledger that no longer knows them. Refuses: a
pseudonym the ledger does not know (`UnknownSubscriber`), a ledger that is missing or unreadable (`LedgerUnreadable`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, literal, select
from sqlalchemy.exc import SQLAlchemyError

from proxy.ledger.database import Place, open_writer, shown, why
from proxy.ledger.read import LedgerUnreadable, Reader, Scope, opened
from proxy.ledger.rollup import bump_epoch, drop_unused_names
from proxy.ledger.schema import LaterVersion, migrate
from proxy.ledger.sums import HOUR_S, add_up, roll_all
from proxy.ledger.tables import SHARES, SUMS, daily, domain, facet, response, rollup, subscriber


class UnknownSubscriber(Exception):
    """The ledger has nothing under this pseudonym."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows were deleted, and how many sums were kept without a name or a domain."""

    rows: int
    sums: int


def everything(place: Place, name: str) -> Iterator[dict[str, Any]]:
    """All that the ledger holds under a pseudonym, as flat records with the same keys: single responses (`record` is
    "response"), then the sums they are part of ("hour", "day"). Raises LedgerUnreadable, UnknownSubscriber."""
    with opened(place) as reader:
        if not reader.has_subscriber(name):
            raise UnknownSubscriber(f"{shown(place)} has nothing under {name}")
        for _, row in reader.each_row(Scope(subscriber=name)):
            yield {"record": "response", **asdict(row), "responses": 1, "cache_hits": int(row.cache_hit)}
        yield from _sums(reader, name)


def forget(place: Place, name: str) -> Forgotten:
    """Delete a subscriber's rows, pseudonym and domains; what they add to the sums stays, under nobody's name.

    Raises LedgerUnreadable, UnknownSubscriber.
    """
    with writing(place) as connection:
        _pragma(connection, "secure_delete = ON")
        roll_all(connection)
        with connection.begin():
            bump_epoch(connection)  # writers wait here, and then learn that the id is gone
            ids = select(subscriber.c.id).where(subscriber.c.name == name)
            number = connection.execute(ids).scalar_one_or_none()
            if number is None:
                raise UnknownSubscriber(f"{shown(place)} has nothing under {name}")
            rows = connection.execute(delete(response).where(response.c.subscriber_id == number)).rowcount
            sums = _detach(connection, number)
            connection.execute(delete(subscriber).where(subscriber.c.id == number))
            drop_unused_names(connection)
        _pragma(connection, "wal_checkpoint(TRUNCATE)")  # else the old pages would still be in the write-ahead log
    return Forgotten(rows, sums)


@contextlib.contextmanager
def writing(place: Place) -> Iterator[Connection]:
    """A connection that may write, to a ledger that is brought to this version's format. Raises LedgerUnreadable."""
    if isinstance(place, Path) and not place.is_file():
        raise LedgerUnreadable(f"{place}: there is no ledger here yet")
    try:
        with open_writer(place).connect() as connection:
            migrate(connection)
            yield connection
    except (SQLAlchemyError, OSError, ValueError, LaterVersion) as error:
        raise LedgerUnreadable(f"{shown(place)}: cannot be changed ({why(error)})") from error


def _detach(connection: Connection, number: int) -> int:
    """Move a subscriber's sums to nobody and no domain; how many there were."""
    theirs = rollup.c.subscriber_id == number
    sums = [func.sum(rollup.c[name]) for name in SUMS]
    bounds = [func.min(rollup.c.first_ms), func.max(rollup.c.last_ms)]
    keys = [rollup.c.span_s, rollup.c.start_s, rollup.c.facet_id]
    made = select(*keys, literal(0).label("nobody"), literal(0).label("nowhere"), *sums, *bounds)
    names = [*(key.name for key in keys), "subscriber_id", "domain_id", *SUMS, "first_ms", "last_ms"]
    add_up(connection, rollup, names, made.where(theirs).group_by(*keys))
    gone = connection.execute(delete(rollup).where(theirs)).rowcount
    theirs, keys = daily.c.subscriber_id == number, [daily.c.start_s, daily.c.role]
    made = select(
        *keys, literal(0).label("nobody"), literal(0).label("nowhere"), *(func.sum(daily.c[n]) for n in SHARES)
    )
    names = [*(key.name for key in keys), "subscriber_id", "domain_id", *SHARES]
    add_up(connection, daily, names, made.where(theirs).group_by(*keys))
    connection.execute(delete(daily).where(theirs))
    return gone


def _sums(reader: Reader, name: str) -> Iterator[dict[str, Any]]:
    joined = rollup.join(facet, facet.c.id == rollup.c.facet_id)
    joined = joined.join(subscriber, subscriber.c.id == rollup.c.subscriber_id)
    joined = joined.outerjoin(domain, domain.c.id == rollup.c.domain_id)
    codes = [column for column in facet.columns if column.name != "id"]
    place = func.coalesce(domain.c.name, "").label("domain")
    query = select(rollup.c.span_s, rollup.c.start_s, *codes, place, *(rollup.c[name] for name in SUMS))
    query = query.select_from(joined).where(subscriber.c.name == name).order_by(rollup.c.start_s)
    for values in reader.connection.execute(query).mappings():
        known = dict(values)
        record = "hour" if known.pop("span_s") == HOUR_S else "day"
        known["image"] = bool(known["image"])
        yield {"record": record, "time_s": float(known.pop("start_s")), "subscriber": name, **known}


def _pragma(connection: Connection, words: str) -> None:
    """Tell SQLite something outside a transaction."""
    raw = connection.connection.driver_connection
    if connection.dialect.name == "sqlite" and raw is not None:
        raw.execute(f"PRAGMA {words}").fetchall()
