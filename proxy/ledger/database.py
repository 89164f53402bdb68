"""Opens a ledger's database: an SQLite file, or PostgreSQL by URL.

In: a place (a path, or a URL such as `postgresql+psycopg://user@host/name`). Out: SQLAlchemy engines. Refuses: other
databases (`ValueError`).

SQLite files are in write-ahead mode with `synchronous=NORMAL`: a crash of the process loses what is not committed, a
power cut perhaps a little more, and neither corrupts the file. They are made 0600.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from proxy.config import LedgerConfig
from proxy.ledger.rollup import Keep

Place = Path | str
BUSY_S = 2.0
CONNECT_S = 5
WAL_BYTES = 16 * 1024 * 1024


def ledger_file(config: LedgerConfig, state_dir: str | Path) -> Path:
    """Where a role's SQLite file is: what the configuration says, else `ledger.sqlite` in the role's state folder."""
    return Path(config.file).expanduser() if config.file else Path(state_dir).expanduser() / "ledger.sqlite"


def ledger_place(config: LedgerConfig, state_dir: str | Path) -> Place:
    """Where a role's ledger is: the configured URL, else its file."""
    if config.url.startswith("sqlite"):
        return Path(make_url(config.url).database or "ledger.sqlite")
    return config.url or ledger_file(config, state_dir)


def keep(config: LedgerConfig) -> Keep:
    """How long what is kept, as configured."""
    return Keep(config.rows_days, config.hours_days, config.keep_days)


def shown(place: Place) -> str:
    """The place for people; a URL's password is left out."""
    return str(place) if isinstance(place, Path) else make_url(place).render_as_string(hide_password=True)


def open_writer(place: Place) -> Engine:
    """An engine whose transactions may write. Makes an SQLite file that is missing. Raises OSError, ValueError."""
    if not isinstance(place, Path):
        return _postgres(place)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(place, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would make it readable to all
    return _sqlite(lambda: _sqlite_for_writing(place), "BEGIN IMMEDIATE")


def open_reader(place: Place) -> Engine:
    """An engine that only reads, each transaction from one snapshot. Raises ValueError."""
    if not isinstance(place, Path):
        return _postgres(place).execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return _sqlite(lambda: _sqlite_for_reading(place), "BEGIN")


def is_corrupt(error: BaseException) -> bool:
    """Whether SQLite found that its file is damaged, or no database."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return isinstance(cause, sqlite3.Error) and code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def why(error: BaseException) -> str:
    """What went wrong, without the statement and its values."""
    return str(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error).strip()


def _sqlite(connect: Any, begin: str) -> Engine:
    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _sqlite_for_writing(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # for new files; others keep their size and reuse it
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = FAST")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


def _sqlite_for_reading(path: Path) -> sqlite3.Connection:
    address = path.resolve().as_uri() + "?mode=ro"
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError:
        # a folder we may not write to has no place for the -shm file; nobody is writing then either
        connection.close()
        connection = sqlite3.connect(address + "&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    return connection


def _postgres(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "postgresql":
            raise ValueError(f"a ledger is kept in SQLite or PostgreSQL, not in {parsed.get_backend_name()}")
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        return create_engine(parsed, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_S})
    except (ArgumentError, ImportError) as error:
        raise ValueError(f"the ledger's url cannot be used ({error}); the extra postgres has the driver") from error
