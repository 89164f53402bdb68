"""Reads a ledger: sums for reports, and rows.

In: a ledger's file and a moment to start from. Out: `Summary` and (id, `Row`) pairs. Refuses: a file that is missing,
is no ledger or was made by another version (`LedgerUnreadable`). Opens it read-only; a proxy may be writing meanwhile.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.ledger.row import COLUMNS, STAGES, Row

SUMS = (
    "COUNT(*), TOTAL(origin_bytes), TOTAL(link_bytes), TOTAL(delivered_bytes), TOTAL(refetch_bytes), TOTAL(cache_hit)"
)


class LedgerUnreadable(Exception):
    """There is no ledger at this place, or it cannot be read; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over images. `saved_bytes` is what the thin link was spared: heads and refetches are charged against it."""

    images: int = 0
    origin_bytes: int = 0
    link_bytes: int = 0
    delivered_bytes: int = 0
    refetch_bytes: int = 0
    cache_hits: int = 0

    @property
    def saved_bytes(self) -> int:
        return self.origin_bytes - self.link_bytes - self.refetch_bytes

    @property
    def saved_percent(self) -> float | None:
        """Net saving in percent of the origin's bytes, negative when more was sent; None without origin bytes."""
        return 100.0 * self.saved_bytes / self.origin_bytes if self.origin_bytes else None


@dataclass(frozen=True, slots=True)
class Group:
    """The totals of the images that share `key`, e.g. a decision and a reason."""

    key: tuple[str, ...]
    totals: Totals


@dataclass(frozen=True, slots=True)
class Stage:
    """How long a stage took: percentiles by nearest rank over the images that went through it."""

    name: str
    images: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What a ledger says about the images since a moment; groups come largest first."""

    first_s: float | None
    last_s: float | None
    totals: Totals
    by_decision: tuple[Group, ...]
    by_mode: tuple[Group, ...]
    by_content_type: tuple[Group, ...]
    stages: tuple[Stage, ...]


def summary(path: Path, since_s: float = 0.0, role: str | None = None) -> Summary:
    """Sum up the rows at or after `since_s` (Unix time), all from one snapshot. Raises LedgerUnreadable.

    Only those of `role` when it is given: where both proxies share a file, an image has a row of each.
    """
    what = _Selection("time_s >= ?", (since_s,))
    if role is not None:
        what = what.also("role = ?", role)
    with _opened(path) as connection:
        connection.execute("BEGIN")
        first, last, *sums = connection.execute(
            f"SELECT MIN(time_s), MAX(time_s), {SUMS} FROM image WHERE {what.where}", what.values
        ).fetchone()
        return Summary(
            first_s=first,
            last_s=last,
            totals=_totals(sums),
            by_decision=_grouped(connection, ("decision", "reason"), what),
            by_mode=_grouped(connection, ("mode",), what.also("mode != ?", "")),
            by_content_type=_grouped(connection, ("content_type",), what),
            stages=tuple(s for name in STAGES if (s := _stage(connection, name, what))),
        )


def rows_since(path: Path, after_id: int = 0, limit: int = 1_000) -> list[tuple[int, Row]]:
    """Up to `limit` rows with ids above `after_id`, oldest first, each with its id. Raises LedgerUnreadable."""
    with _opened(path) as connection:
        found = connection.execute(
            f"SELECT id, {', '.join(COLUMNS)} FROM image WHERE id > ? ORDER BY id LIMIT ?", (after_id, limit)
        ).fetchall()
    return [
        (values[0], Row(**dict(zip(COLUMNS[:-1], values[1:-1], strict=True)), cache_hit=bool(values[-1])))
        for values in found
    ]


def _totals(sums: list[float]) -> Totals:
    return Totals(*(int(number) for number in sums))


@dataclass(frozen=True, slots=True)
class _Selection:
    """A condition on rows, and the values for its question marks."""

    where: str
    values: tuple[object, ...] = ()

    def also(self, condition: str, *values: object) -> _Selection:
        return _Selection(f"{self.where} AND {condition}", (*self.values, *values))


def _grouped(connection: sqlite3.Connection, by: tuple[str, ...], what: _Selection) -> tuple[Group, ...]:
    columns = ", ".join(by)
    found = connection.execute(
        f"SELECT {columns}, {SUMS} FROM image WHERE {what.where} GROUP BY {columns} ORDER BY COUNT(*) DESC, {columns}",
        what.values,
    )
    return tuple(Group(tuple(values[: len(by)]), _totals(list(values[len(by) :]))) for values in found)


def _stage(connection: sqlite3.Connection, name: str, what: _Selection) -> Stage | None:
    what = what.also(f"{name} IS NOT NULL")
    count = connection.execute(f"SELECT COUNT(*) FROM image WHERE {what.where}", what.values).fetchone()[0]
    if not count:
        return None

    def percentile(percent: int) -> float:
        rank = -(-percent * count // 100)  # nearest rank, counted from 1
        query = f"SELECT {name} FROM image WHERE {what.where} ORDER BY {name} LIMIT 1 OFFSET ?"
        return float(connection.execute(query, (*what.values, max(rank, 1) - 1)).fetchone()[0])

    return Stage(name, count, percentile(50), percentile(95))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise LedgerUnreadable(f"{path}: there is no ledger here yet")
    try:
        connection = _connect(path)
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise LedgerUnreadable(f"{path}: cannot be read as a ledger ({error})") from error


def _connect(path: Path) -> sqlite3.Connection:
    address = path.resolve().as_uri() + "?mode=ro"
    connection = sqlite3.connect(address, uri=True, timeout=2.0, isolation_level=None)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError:
        # a folder we may not write to has no place for the -shm file; nobody is writing then either
        connection.close()
        connection = sqlite3.connect(address + "&immutable=1", uri=True, isolation_level=None)
    return connection
