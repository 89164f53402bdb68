"""The ledger's tables, made by numbered migrations.

In: an open connection. Out: the same, at the current version. Refuses: a file that a later version of Sketchwire made
(`LaterVersion`). To change the schema, append a function to `MIGRATIONS`; never edit one that was released.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


class LaterVersion(Exception):
    """The file was made by a later version; this one must leave it alone."""


def _first(connection: sqlite3.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE image (
            id INTEGER PRIMARY KEY,
            time_s REAL NOT NULL,
            role TEXT NOT NULL,
            decision TEXT NOT NULL,
            content_type TEXT NOT NULL,
            reason TEXT NOT NULL,
            mode TEXT NOT NULL,
            engine TEXT NOT NULL,
            kind TEXT NOT NULL,
            width_px INTEGER NOT NULL,
            height_px INTEGER NOT NULL,
            origin_bytes INTEGER NOT NULL,
            link_bytes INTEGER NOT NULL,
            delivered_bytes INTEGER NOT NULL,
            refetch_bytes INTEGER NOT NULL,
            encode_ms REAL,
            link_ms REAL,
            queue_ms REAL,
            reconstruct_ms REAL,
            total_ms REAL,
            cache_hit INTEGER NOT NULL
        )
        """
    )
    connection.execute("CREATE INDEX image_by_time ON image (time_s)")


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [_first]


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the file to the current version, each step in a transaction of its own; return that version.

    The connection must be in autocommit mode (`isolation_level=None`). Raises LaterVersion, sqlite3.Error.
    """
    for number, step in enumerate(MIGRATIONS, start=1):
        if _version(connection) >= number:
            continue
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) < number:  # another process may have been faster
                step(connection)
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise LaterVersion(f"the ledger has version {version}, this program knows {len(MIGRATIONS)}")
    return version


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
