"""Migrations: what users have is kept, what a later version made is left alone, and the tables are what we think."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text

from proxy.ledger import Ledger, LedgerUnreadable, Place, Row, read, schema
from proxy.ledger.database import open_writer
from proxy.ledger.schema import MIGRATIONS, migrate
from proxy.ledger.tables import metadata
from tests.proxy.ledger.rows import filled, now_s, row

VERSION_1 = """
CREATE TABLE image (
    id INTEGER PRIMARY KEY, time_s REAL NOT NULL, role TEXT NOT NULL, decision TEXT NOT NULL,
    content_type TEXT NOT NULL, reason TEXT NOT NULL, mode TEXT NOT NULL, engine TEXT NOT NULL, kind TEXT NOT NULL,
    width_px INTEGER NOT NULL, height_px INTEGER NOT NULL, origin_bytes INTEGER NOT NULL, link_bytes INTEGER NOT NULL,
    delivered_bytes INTEGER NOT NULL, refetch_bytes INTEGER NOT NULL, encode_ms REAL, link_ms REAL, queue_ms REAL,
    reconstruct_ms REAL, total_ms REAL, cache_hit INTEGER NOT NULL
);
CREATE INDEX image_by_time ON image (time_s);
PRAGMA user_version = 1;
"""


def version_1(path: Path, *rows: tuple[Any, ...]) -> Path:
    """A file as the first version made it."""
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(VERSION_1)
        for values in rows:
            connection.execute(f"INSERT INTO image VALUES ({', '.join('?' * 21)})", values)
    connection.close()
    return path


def test_a_file_of_version_1_is_brought_along(path: Path) -> None:
    now = now_s()
    version_1(
        path,
        (1, now, "downstream", "reconstructed", "image/jpeg", "", "thumbnail", "sketch@0123abcd", "photo", 640, 480,
         50_000, 1_500, 30_000, 0, 100.5, 20.0, 1.0, 80.0, 400.0, 1),
        (7, now, "downstream", "original", "image/png", "deadline", "edges", "", "", 0, 0,
         10_000, 900, 10_000, 10_400, None, None, None, None, 7_000.0, 0),
        (8, now, "upstream", "skipped", "image/gif", "animated", "", "", "", 0, 0, 2**62, 5, 5, 0, None, None, None,
         None, None, 0),
    )  # fmt: skip
    with pytest.raises(LedgerUnreadable, match="earlier version"):
        read.summary(path)
    filled(path, row(decision="skipped", width_px=9))
    kept = dict(read.rows_since(path))
    assert kept[1] == Row(
        time_s=now, role="downstream", decision="reconstructed", content_type="image/jpeg", mode="thumbnail",
        engine="sketch@0123abcd", kind="photo", width_px=640, height_px=480, origin_bytes=50_000, link_bytes=1_500,
        delivered_bytes=30_000, encode_ms=100.5, link_ms=20.0, queue_ms=1.0, reconstruct_ms=80.0, total_ms=400.0,
        cache_hit=True,
    )  # fmt: skip
    assert (kept[7].refetch_bytes, kept[7].refetches, kept[7].reason) == (10_400, 1, "deadline")
    assert kept[8].origin_bytes == 2**40 and len(kept) == 4
    assert read.summary(path, role="downstream").totals.origin_bytes == 110_000


def test_the_tables_are_as_described(place: Place) -> None:
    filled(place, row())
    with open_writer(place).connect() as connection:
        found = inspect(connection)
        made = {table: {column["name"] for column in found.get_columns(table)} for table in found.get_table_names()}
        keys = {table: found.get_pk_constraint(table)["constrained_columns"] for table in metadata.tables}
    made.pop("sketchwire_version", None)
    assert made == {name: {column.name for column in table.columns} for name, table in metadata.tables.items()}
    assert keys == {name: [c.name for c in table.primary_key] for name, table in metadata.tables.items()}


def test_no_column_could_hold_an_address(place: Place) -> None:
    texts = {
        f"{table.name}.{column.name}" for table in metadata.tables.values() for column in table.columns
        if column.type.python_type is str
    }  # fmt: skip
    codes = {f"facet.{name}" for name in ("role", "decision", "content_type", "reason", "mode", "engine", "kind")}
    assert texts == codes | {
        "subscriber.name",
        "domain.name",
        "daily.role",
        "sample.role",
        "sample.name",
        "setting.name",
    }


def test_a_later_version_is_left_alone(place: Place, caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(schema, "MIGRATIONS", [*MIGRATIONS, lambda connection: None])
        filled(place, row())
    ledger = Ledger(place)
    ledger.record(row())
    ledger.close()
    assert ledger.dropped == 1 and f"version {len(MIGRATIONS) + 1}" in caplog.text
    with pytest.raises(LedgerUnreadable, match="later version"):
        read.summary(place)


def test_migrations_add_to_an_older_ledger(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(place, row())

    def next_one(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE facet ADD COLUMN tier TEXT NOT NULL DEFAULT ''"))

    monkeypatch.setattr(schema, "MIGRATIONS", [*MIGRATIONS, next_one])
    filled(place, row())
    with open_writer(place).connect() as connection:
        assert schema.version(connection) == len(schema.MIGRATIONS)
        assert connection.execute(text("SELECT COUNT(tier) FROM facet")).scalar_one() == 1


def test_a_failing_migration_leaves_the_old_version(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(place, row())

    def broken(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE half_done (x INTEGER)"))
        connection.execute(text("no such statement"))

    monkeypatch.setattr(schema, "MIGRATIONS", [*MIGRATIONS, broken])
    ledger = Ledger(place)
    ledger.record(row())
    ledger.close()
    assert ledger.dropped == 1
    with open_writer(place).connect() as connection:
        assert schema.version(connection) == len(MIGRATIONS)
        assert "half_done" not in inspect(connection).get_table_names()


def test_many_may_migrate_at_a_time(place: Place) -> None:
    found: list[int] = []
    if isinstance(place, Path):
        place.parent.mkdir(parents=True)

    def start() -> None:
        with open_writer(place).connect() as connection:
            found.append(migrate(connection))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [len(MIGRATIONS)] * 4
