"""What goes in comes out, in both databases; trouble is counted and never raised."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from proxy.ledger import Keep, Ledger, Place, database, read, writer
from proxy.ledger.database import open_writer
from tests.proxy.ledger.conftest import Fill
from tests.proxy.ledger.rows import BOB, filled, now_s, row


def test_rows_come_back_as_recorded(ledger_of: Fill) -> None:
    recorded = [
        row(cache_hit=True, queue_ms=1.5, origin_ms=3.25, quality=0.875, refetches=2, refetch_bytes=9),
        row(decision="skipped", reason="no-gain", mode="", encode_ms=None, subscriber=BOB),
        row(decision="passed", image=False, content_type="text/html", subscriber="", kind=""),
    ]
    assert [each for _, each in read.rows_since(ledger_of(*recorded))] == recorded


def test_domains_are_kept_only_by_a_ledger_that_may(place: Place) -> None:
    filled(place, row(domain="example.org"))
    filled(place, row(domain="example.org"), domains=True)
    assert [each.domain for _, each in read.rows_since(place)] == ["", "example.org"]


def test_rows_since_an_id_pages_through(ledger_of: Fill) -> None:
    place = ledger_of(*(row(width_px=n) for n in range(1, 6)))
    first = read.rows_since(place, limit=2)
    rest = read.rows_since(place, after_id=first[-1][0])
    assert [each.width_px for _, each in first + rest] == [1, 2, 3, 4, 5]


def test_flush_makes_rows_readable_while_open(place: Place) -> None:
    ledger = Ledger(place)
    ledger.record(row())
    assert ledger.flush()
    assert read.summary(place).totals.images == 1
    ledger.close()


def test_rows_are_committed_without_flush(place: Place) -> None:
    ledger = Ledger(place, commit_every_s=0.05)
    ledger.record(row())
    until = time.monotonic() + 5
    while ledger.written == 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(read.rows_since(place)) == 1
    ledger.close()


def test_the_default_commits_at_least_every_half_second() -> None:
    assert inspect.signature(Ledger).parameters["commit_every_s"].default <= 0.5


def test_an_ordinary_exit_without_close_keeps_the_rows(path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom proxy.ledger import Ledger, Row\n"
        "Ledger(Path(sys.argv[1])).record(Row(time_s=1e9, role='upstream', decision='skipped'))"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert len(read.rows_since(path)) == 0  # a row of 2001 is past keep_days by now: written, then pruned
    subprocess.run([sys.executable, "-c", script.replace("1e9", "4e9"), str(path)], check=True)
    assert len(read.rows_since(path)) == 1


def test_many_threads_may_record(place: Place) -> None:
    ledger = Ledger(place)
    threads = [threading.Thread(target=lambda: deque(map(ledger.record, [row()] * 500))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    assert (ledger.written, ledger.dropped) == (2_000, 0)
    assert read.summary(place).totals.responses == 2_000


def test_two_ledgers_may_share_a_database(place: Place) -> None:
    ledgers = [Ledger(place, commit_every_s=0.01) for _ in range(2)]
    for number in range(300):
        for who, ledger in zip(("downstream", "upstream"), ledgers, strict=True):
            ledger.record(row(role=who, reason=f"r{number % 7}", subscriber=f"{number % 5:016x}"))
    for ledger in ledgers:
        ledger.close()
    assert [ledger.dropped for ledger in ledgers] == [0, 0]
    assert [read.summary(place, role=role).totals.responses for role in ("downstream", "upstream")] == [300, 300]
    assert read.summary(place).subscribers == 5


def test_a_full_queue_drops_and_counts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    insert = writer.insert_rows
    monkeypatch.setattr(writer, "insert_rows", lambda *args: (gate.wait(10), insert(*args)))
    ledger = Ledger(place, queue_rows=10)
    started = time.monotonic()
    for _ in range(100):
        ledger.record(row())
    assert time.monotonic() - started < 1.0
    assert ledger.dropped >= 80 and ledger.queued <= 10
    gate.set()
    ledger.close()
    assert ledger.written + ledger.dropped == 100


def test_recording_after_close_is_counted_not_raised(place: Place) -> None:
    ledger = Ledger(place)
    ledger.close()
    ledger.close()
    ledger.record(row())
    assert ledger.dropped == 1 and ledger.flush()


def test_a_batch_that_fails_leaves_nothing_half_done(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    insert = writer.insert_rows

    def failing(*args: Any) -> None:
        insert(*args)
        raise OperationalError("INSERT", {}, RuntimeError("no space left on device"))

    monkeypatch.setattr(writer, "insert_rows", failing)
    ledger = Ledger(place)
    ledger.record(row(reason="lost"))
    ledger.flush()
    assert (ledger.written, ledger.dropped) == (0, 1) and "no space left" in caplog.text
    monkeypatch.setattr(writer, "insert_rows", insert)
    ledger.record(row(reason="lost"))  # with the same codes: their ids went with the transaction
    ledger.close()
    assert (ledger.written, ledger.dropped) == (1, 1)
    assert [each.reason for _, each in read.rows_since(place)] == ["lost"]


def test_a_server_that_drops_the_connection_loses_no_row(postgres: Any) -> None:
    url = postgres()
    ledger = Ledger(url)
    ledger.record(row())
    ledger.flush()
    with open_writer(url).connect() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
        connection.execute(text(f"{others} AND datname = current_database()"))
    ledger.record(row())
    ledger.close()
    assert (ledger.written, ledger.dropped) == (2, 0)


def test_a_server_that_is_away_is_said_without_the_password(caplog: Any) -> None:
    ledger = Ledger("postgresql+psycopg://ada:topsecret@127.0.0.1:1/ledger")
    ledger.record(row())
    ledger.close()
    assert ledger.dropped == 1 and "cannot use" in caplog.text and "topsecret" not in caplog.text


def test_a_locked_file_drops_counts_and_recovers(path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    filled(path, row())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    ledger = Ledger(path)
    with caplog.at_level(logging.WARNING):
        ledger.record(row())
        ledger.flush()
    assert ledger.dropped == 1 and "locked" in caplog.text
    other.execute("ROLLBACK")
    ledger._open_after = 0.0
    ledger.record(row())
    ledger.close()
    assert ledger.written == 1 and read.summary(path).totals.images == 2


def test_a_full_disk_drops_and_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = database._sqlite_for_writing
    filled(path)

    def small(where: Path) -> sqlite3.Connection:
        connection = opened(where)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")  # SQLite's own way to say "disk is full"
        return connection

    monkeypatch.setattr(database, "_sqlite_for_writing", small)
    ledger = Ledger(path)
    for _ in range(3_000):
        ledger.record(row())
    ledger.close()
    assert ledger.dropped > 0 and ledger.written + ledger.dropped == 3_000


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "file").write_text("not a folder")
    ledger = Ledger(tmp_path / "file" / "ledger.sqlite")
    for _ in range(3):
        ledger.record(row())
        ledger.flush()
    ledger.close()
    assert ledger.dropped == 3
    assert caplog.text.count("cannot use") == 1
    assert os.strerror(errno.ENOTDIR) in caplog.text or os.strerror(errno.EEXIST) in caplog.text


def test_rows_that_are_written_are_not_called_dropped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args: object) -> bool:
        raise OperationalError("DELETE", {}, RuntimeError("database is locked"))

    monkeypatch.setattr(writer, "maintain", failing)
    ledger = Ledger(place)
    ledger.record(row())
    ledger.close()
    assert (ledger.written, ledger.dropped, len(read.rows_since(place))) == (1, 0, 1)


def test_old_rows_go_and_young_ones_stay(place: Place) -> None:
    now = now_s()
    filled(place, *(row(time_s=now - 3 * 86_400) for _ in range(10)), row(time_s=now - 86_400))
    ledger = Ledger(place, Keep(all_days=2.0))
    ledger.record(row(time_s=now))
    ledger.close()
    assert [round(now - each.time_s) for _, each in read.rows_since(place)] == [86_400, 0]
    assert read.summary(place).totals.responses == 2


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    ledger = Ledger(path)
    ledger.record(row())
    ledger.flush()
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in [path.parent, *path.parent.iterdir()]}
    ledger.close()
    assert modes.pop("state") == 0o700
    assert set(modes.values()) == {0o600} and "ledger.sqlite-wal" in modes


def test_impossible_values_are_dropped_or_tamed_without_harm(place: Place) -> None:
    ledger = Ledger(place)
    ledger.record(row(width_px="wide"))
    ledger.record(row(time_s=float("nan")))
    ledger.record("not a row")  # type: ignore[arg-type]
    ledger.record(row(origin_bytes=2**70, link_bytes=-5, encode_ms=float("inf"), quality=float("nan")))
    ledger.close()
    assert (ledger.written, ledger.dropped) == (1, 3)
    [(_, kept)] = read.rows_since(place)
    assert (kept.origin_bytes, kept.link_bytes, kept.encode_ms, kept.quality) == (2**40, 0, None, None)
