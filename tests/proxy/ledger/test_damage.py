"""SQLite files that are corrupt, and processes that are killed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from proxy.ledger import Ledger, Place, read
from tests.proxy.ledger.rows import filled, row

RECORDING = """
import sys, time
from pathlib import Path
from proxy.ledger import Ledger, Row
place = sys.argv[1]
ledger = Ledger(place if "://" in place else Path(place))
number = 0
ledger.flush(30)  # the database is made: what follows is a proxy at work
while True:
    number += 1
    ledger.record(Row(time_s=time.time(), role="upstream", decision="skipped", width_px=number))
    print(number, time.time(), flush=True)
    time.sleep(0.002)
"""


def test_kill_9_loses_at_most_a_second_and_corrupts_nothing(place: Place) -> None:
    process = subprocess.Popen([sys.executable, "-c", RECORDING, str(place)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    recorded = [process.stdout.readline() for _ in range(600)]
    process.send_signal(signal.SIGKILL)
    killed_s = time.time()
    recorded += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    kept = [each.width_px for _, each in read.rows_since(place, limit=100_000)]
    assert kept == list(range(1, len(kept) + 1))  # none is missing in between, none is there twice
    must_be_there = [int(line.split()[0]) for line in recorded if float(line.split()[1]) < killed_s - 1.0]
    assert must_be_there and max(must_be_there) <= len(kept)
    if isinstance(place, Path):
        with sqlite3.connect(place) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
    filled(place, row())
    assert read.summary(place).totals.responses == len(kept) + 1


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
    filled(path, *(row(reason=f"r{n}") for n in range(2_000)))
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
    ledger._move_aside(path, sqlite3.DatabaseError("test"))
    assert sorted(each.read_bytes() for each in path.parent.iterdir()) == [b"old", b"old-shm", b"old-wal"]
    assert not path.exists() and not Path(f"{path}-wal").exists()
