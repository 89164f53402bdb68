"""The ledger: what goes in comes out, trouble is counted and never raised, and nothing private can be stored."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from proxy.config import LedgerConfig
from proxy.ledger import Ledger, LedgerUnreadable, Row, ledger_file, read, schema, writer
from proxy.ledger.row import COLUMNS, media_type, stored_values


def row(**changes: Any) -> Row:
    full = Row(
        time_s=time.time(),
        role="downstream",
        decision="reconstructed",
        content_type="image/jpeg",
        mode="thumbnail",
        engine="sketch@0123abcd",
        kind="photo",
        width_px=640,
        height_px=480,
        origin_bytes=50_000,
        link_bytes=1_500,
        delivered_bytes=30_000,
        encode_ms=100.0,
        total_ms=400.0,
    )
    return replace(full, **changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite"


def filled(path: Path, *rows: Row) -> Path:
    ledger = Ledger(path)
    for each in rows:
        ledger.record(each)
    ledger.close()
    assert ledger.dropped == 0
    return path


def test_rows_come_back_as_recorded(path: Path) -> None:
    recorded = [row(cache_hit=True, queue_ms=1.5), row(decision="skipped", reason="no-gain", mode="", encode_ms=None)]
    filled(path, *recorded)
    assert [each for _, each in read.rows_since(path)] == recorded


def test_rows_since_an_id_pages_through(path: Path) -> None:
    filled(path, *(row(width_px=n) for n in range(1, 6)))
    first = read.rows_since(path, limit=2)
    rest = read.rows_since(path, after_id=first[-1][0])
    assert [each.width_px for _, each in first + rest] == [1, 2, 3, 4, 5]


def test_flush_makes_rows_readable_while_open(path: Path) -> None:
    ledger = Ledger(path)
    ledger.record(row())
    assert ledger.flush()
    assert read.summary(path).totals.images == 1
    ledger.close()


def test_rows_are_committed_without_flush(path: Path) -> None:
    ledger = Ledger(path, commit_every_s=0.05)
    ledger.record(row())
    until = time.monotonic() + 5
    while ledger.written == 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(read.rows_since(path)) == 1
    ledger.close()


def test_the_default_commits_at_least_every_half_second() -> None:
    assert inspect.signature(Ledger).parameters["commit_every_s"].default <= 0.5


def test_a_killed_process_loses_nothing_that_was_flushed(path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom proxy.ledger import Ledger, Row\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "for _ in range(100): ledger.record(Row(time_s=time.time(), role='upstream', decision='skipped'))\n"
        "ledger.flush(); print('flushed', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "flushed\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert read.summary(path).totals.images == 100
    filled(path, row())
    assert read.summary(path).totals.images == 101


def test_an_ordinary_exit_without_close_keeps_the_rows(path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom proxy.ledger import Ledger, Row\n"
        "Ledger(Path(sys.argv[1])).record(Row(time_s=1e9, role='upstream', decision='skipped'))"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert len(read.rows_since(path)) == 0  # a row of 2001 is past keep_days by now: written, then pruned
    subprocess.run([sys.executable, "-c", script.replace("1e9", "4e9"), str(path)], check=True)
    assert len(read.rows_since(path)) == 1


def test_many_threads_may_record(path: Path) -> None:
    ledger = Ledger(path)
    threads = [threading.Thread(target=lambda: deque(map(ledger.record, [row()] * 500))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    assert (ledger.written, ledger.dropped) == (2_000, 0)


def test_a_full_queue_drops_and_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    insert = writer._insert
    monkeypatch.setattr(writer, "_insert", lambda *args: (gate.wait(10), insert(*args)))
    ledger = Ledger(path, queue_rows=10)
    started = time.monotonic()
    for _ in range(100):
        ledger.record(row())
    assert time.monotonic() - started < 1.0
    assert ledger.dropped >= 80
    gate.set()
    ledger.close()
    assert ledger.written + ledger.dropped == 100


def test_recording_after_close_is_counted_not_raised(path: Path) -> None:
    ledger = Ledger(path)
    ledger.close()
    ledger.close()
    ledger.record(row())
    assert ledger.dropped == 1 and ledger.flush()


def test_a_locked_file_drops_counts_and_recovers(path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(writer, "BUSY_S", 0.05)
    filled(path, row())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    ledger = Ledger(path)
    monkeypatch.setattr(writer, "RETRY_OPEN_S", 0.0)
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
    opened = writer._open

    def small(where: Path) -> sqlite3.Connection:
        connection = opened(where)
        connection.execute("PRAGMA max_page_count = 8")  # SQLite's own way to say "database or disk is full"
        return connection

    monkeypatch.setattr(writer, "_open", small)
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


@pytest.mark.parametrize(
    "damage", [b"this is no database at all, not even nearly" * 100, b"SQLite format 3\0" + b"\xff" * 4080]
)
def test_a_corrupt_file_is_moved_aside_and_said_aloud(path: Path, caplog: Any, damage: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(damage)
    ledger = Ledger(path)
    ledger.record(row())
    ledger.close()
    assert (ledger.written, ledger.dropped) == (1, 0)
    aside = list(path.parent.glob("ledger.sqlite.corrupt-*"))
    assert [each.read_bytes() for each in aside] == [damage]
    assert str(aside[0]) in caplog.text and read.summary(path).totals.images == 1


def test_corruption_met_while_writing_keeps_the_batch(path: Path, caplog: Any) -> None:
    filled(path, *(row() for _ in range(2_000)))
    size = path.stat().st_size
    with path.open("r+b") as file:  # the head stays good, every page after it is rubbish
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    ledger = Ledger(path)
    ledger.record(row(width_px=7))
    ledger.close()
    assert (ledger.written, ledger.dropped) == (1, 0)
    assert [each.width_px for _, each in read.rows_since(path)] == [7]
    assert "corrupt" in caplog.text


def test_two_corruptions_within_a_second_keep_both_files(path: Path) -> None:
    for content in (b"first" * 1000, b"second" * 1000):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        filled(path, row())
    kept = {
        each.read_bytes()[:5] for each in path.parent.glob("*.corrupt-*") if not each.name.endswith(("-wal", "-shm"))
    }
    assert kept == {b"first", b"secon"}


def test_what_belongs_to_a_corrupt_file_goes_with_it(path: Path) -> None:
    ledger = Ledger(path)
    ledger.close()  # from here on, what its thread would do is done here
    path.unlink()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").write_bytes(b"old" + suffix.encode())
    ledger._move_aside(sqlite3.DatabaseError("test"))
    assert sorted(each.read_bytes() for each in path.parent.iterdir()) == [b"old", b"old-shm", b"old-wal"]
    assert not path.exists() and not Path(f"{path}-wal").exists()


def test_rows_that_are_written_are_not_called_dropped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: Ledger, connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(Ledger, "_prune", failing)
    ledger = Ledger(path)
    ledger.record(row())
    ledger.close()
    assert (ledger.written, ledger.dropped, len(read.rows_since(path))) == (1, 0, 1)


def test_a_later_version_is_left_alone(path: Path, caplog: Any) -> None:
    filled(path, row())
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    ledger = Ledger(path)
    ledger.record(row())
    ledger.close()
    assert ledger.dropped == 1 and "version 99" in caplog.text
    assert read.summary(path).totals.images == 1


def test_migrations_add_to_an_older_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path, row())

    def second(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE image ADD COLUMN tier TEXT NOT NULL DEFAULT ''")

    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, second])
    filled(path, row())
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT COUNT(tier) FROM image").fetchone() == (2,)
    connection.close()


def test_a_failing_migration_leaves_the_old_version(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path, row())

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half_done (x)")
        connection.execute("no such statement")

    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, broken])
    ledger = Ledger(path)
    ledger.record(row())
    ledger.close()
    assert ledger.dropped == 1
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT * FROM sqlite_master WHERE name = 'half_done'").fetchone() is None
    connection.close()


def test_old_rows_go_and_young_ones_stay(path: Path) -> None:
    now = time.time()
    filled(path, *(row(time_s=now - 3 * 86_400) for _ in range(10)), row(time_s=now - 86_400))
    ledger = Ledger(path, keep_days=2.0)
    ledger.record(row(time_s=now))
    ledger.close()
    assert [round(now - each.time_s) for _, each in read.rows_since(path)] == [86_400, 0]


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    ledger = Ledger(path)
    ledger.record(row())
    ledger.flush()
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in [path.parent, *path.parent.iterdir()]}
    ledger.close()
    assert modes.pop("state") == 0o700
    assert set(modes.values()) == {0o600} and "ledger.sqlite-wal" in modes


PRIVATE = (
    "https://clinic.example.org/patients/7?name=ada",
    "clinic.example.org",
    "/patients/7",
    "image/jpeg; name=patients-7.jpg",
    "image/clinic.example.org",
    "clinic/example",
)


@pytest.mark.parametrize("text", PRIVATE)
def test_no_url_host_or_path_can_be_stored(path: Path, text: str) -> None:
    strings = {f.name: text for f in fields(Row) if "str" in str(f.type) or f.name in ("role", "decision")}
    assert {"role", "decision", "content_type", "reason", "mode", "engine", "kind"} <= set(strings)
    filled(path, row(**strings))
    stored = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert b"patients" not in stored and b"clinic" not in stored and b"/example" not in stored


def test_the_columns_are_the_fields_of_a_row(path: Path) -> None:
    filled(path, row())
    with sqlite3.connect(path) as connection:
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(image)")]
    connection.close()
    assert columns == ["id", *COLUMNS] and len(stored_values(row())) == len(COLUMNS)


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("IMAGE/JPEG; charset=x", "image/jpeg"),
        ("", ""),
        ("image/x-new", "image/other"),
        ("video/mp4", "other"),
        ("nonsense", "other"),
    ],
)
def test_media_types(header: str, kept: str) -> None:
    assert media_type(header) == kept


def test_impossible_values_are_dropped_or_tamed_without_harm(path: Path) -> None:
    ledger = Ledger(path)
    ledger.record(row(width_px="wide"))
    ledger.record(row(time_s=float("nan")))
    ledger.record("not a row")  # type: ignore[arg-type]
    ledger.record(row(origin_bytes=2**70, link_bytes=-5, encode_ms=float("inf")))
    ledger.close()
    assert (ledger.written, ledger.dropped) == (1, 3)
    [(_, kept)] = read.rows_since(path)
    assert (kept.origin_bytes, kept.link_bytes, kept.encode_ms) == (2**63 - 1, 0, None)


def test_summary_adds_up_and_charges_refetches(path: Path) -> None:
    now = time.time()
    filled(
        path,
        row(time_s=now, origin_bytes=10_000, link_bytes=1_000, delivered_bytes=8_000, encode_ms=10.0),
        row(time_s=now, origin_bytes=10_000, link_bytes=1_000, delivered_bytes=8_000, encode_ms=20.0, cache_hit=True),
        row(
            time_s=now,
            origin_bytes=10_000,
            link_bytes=1_000,
            refetch_bytes=10_500,
            decision="original",
            reason="deadline",
            mode="edges",
            encode_ms=None,
        ),
        row(
            time_s=now - 500, origin_bytes=99, decision="skipped", reason="too-small", mode="", content_type="image/gif"
        ),
    )
    found = read.summary(path, since_s=now - 100)
    assert found.totals.images == 3 and found.totals.cache_hits == 1
    assert found.totals.saved_bytes == 30_000 - 3_000 - 10_500
    assert found.totals.saved_percent == pytest.approx(55.0)
    assert [(g.key, g.totals.images) for g in found.by_decision] == [
        (("reconstructed", ""), 2),
        (("original", "deadline"), 1),
    ]
    assert [g.key for g in found.by_mode] == [("thumbnail",), ("edges",)]
    [encode, total] = found.stages
    assert (encode.name, encode.images, encode.p50_ms, encode.p95_ms) == ("encode_ms", 2, 10.0, 20.0)
    assert total.name == "total_ms"
    everything = read.summary(path)
    assert everything.totals.images == 4
    assert [g.key for g in everything.by_mode] == [("thumbnail",), ("edges",)]  # a skipped image has no mode
    assert [g.key for g in everything.by_content_type] == [("image/jpeg",), ("image/gif",)]


def test_a_summary_of_one_role_counts_an_image_in_a_shared_file_once(path: Path) -> None:
    filled(path, row(), row(role="upstream", total_ms=9.0), row(role="upstream"))
    assert [read.summary(path, role=role).totals.images for role in ("downstream", "upstream", None)] == [1, 2, 3]
    assert [s.images for s in read.summary(path, role="downstream").stages] == [1, 1]


def test_percentiles_are_by_nearest_rank(path: Path) -> None:
    filled(path, *(row(encode_ms=float(n)) for n in range(1, 101)))
    stage = next(s for s in read.summary(path).stages if s.name == "encode_ms")
    assert (stage.p50_ms, stage.p95_ms) == (50.0, 95.0)


def test_an_empty_ledger_has_an_empty_summary(path: Path) -> None:
    ledger = Ledger(path)
    ledger.flush()
    ledger.close()
    found = read.summary(path)
    assert found.totals.images == 0 and found.totals.saved_percent is None and found.stages == ()


def test_a_missing_or_foreign_file_is_said_plainly(path: Path, tmp_path: Path) -> None:
    with pytest.raises(LedgerUnreadable, match="no ledger here yet"):
        read.summary(path)
    foreign = tmp_path / "foreign.sqlite"
    foreign.write_bytes(b"not a database" * 100)
    with pytest.raises(LedgerUnreadable, match="cannot be read"):
        read.rows_since(foreign)
    assert foreign.read_bytes() == b"not a database" * 100


def test_a_reader_changes_nothing_in_a_read_only_folder(path: Path) -> None:
    filled(path, row())
    path.parent.chmod(0o500)
    try:
        assert read.summary(path).totals.images == 1
        assert [each.name for each in path.parent.iterdir()] == ["ledger.sqlite"] or os.geteuid() == 0
    finally:
        path.parent.chmod(0o700)


def test_where_the_ledger_is(tmp_path: Path) -> None:
    assert ledger_file(LedgerConfig(), tmp_path) == tmp_path / "ledger.sqlite"
    assert ledger_file(LedgerConfig(file="~/x.sqlite"), tmp_path) == Path.home() / "x.sqlite"
