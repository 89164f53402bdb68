"""Ledgers to test with: SQLite files, and databases of a PostgreSQL server that runs for the session."""

from __future__ import annotations

import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from proxy.ledger import Place, Row
from tests.proxy.ledger.rows import filled

Fill = Callable[..., Place]


@functools.cache
def _binaries() -> Path | None:
    """The newest PostgreSQL's programs, where Debian or the PATH has them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


def _unprivileged() -> list[str]:
    """PostgreSQL refuses to run as root."""
    return [] if os.geteuid() != 0 else ["runuser", "-u", _user(), "--"]


def _user() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """A server; each call makes a database and gives its URL."""
    programs = _binaries()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="swpg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, _user())
    data = folder / "data"
    run = functools.partial(subprocess.run, check=True, capture_output=True, cwd="/", timeout=60)
    run([*_unprivileged(), programs / "initdb", "-D", data, "-U", "test", "-A", "trust", "-N", "-E", "UTF8"])
    options = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", str(folder)]
    with (folder / "log").open("wb") as log:
        command = [*_unprivileged(), programs / "postgres", "-D", data, *options]
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd="/")
    admin = create_engine(
        f"postgresql+psycopg://test@/postgres?host={folder}", isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    _wait_for(admin, server, folder / "log")
    numbers = itertools.count()

    def make() -> str:
        name = f"ledger{next(numbers)}"
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        return f"postgresql+psycopg://test@/{name}?host={folder}"

    yield make
    os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
    server.wait(30)
    shutil.rmtree(folder, ignore_errors=True)


def _wait_for(admin: Engine, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            admin.connect().close()
            return
        except OperationalError:
            if server.poll() is not None or time.monotonic() > until:
                server.kill()
                raise AssertionError(log.read_text()) from None
            time.sleep(0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where an SQLite ledger may be made."""
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A ledger's place, in either database."""
    if request.param == "sqlite":
        return tmp_path / "state" / "ledger.sqlite"
    return str(request.getfixturevalue("postgres")())


@pytest.fixture
def ledger_of(place: Place) -> Fill:
    """Fills the ledger at `place` with rows."""

    def fill(*rows: Row, **options: object) -> Place:
        return filled(place, *rows, **options)

    return fill
