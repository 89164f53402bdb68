"""What crossed the link and is in no ledger: it outlives a kill, once, and never more than was there."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from proxy.ledger import Ledger, Row, read
from proxy.underway import PLACES, ROWS, SIZE_BYTES, Left, leftovers, opened

ALICE, BOB = "0123456789abcdef", "fedcba9876543210"


def test_places_and_rows_are_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "u"
    kept, left = opened(path)
    assert kept is not None and left == [] and path.stat().st_mode & 0o777 == 0o600
    one, two, three = kept.take(""), kept.take(ALICE), kept.take(BOB)
    kept.write(one, 5, 50)
    kept.name(one, ALICE)
    kept.write(two, 1, 2)
    kept.write(three, 9, 9)
    kept.free(three)
    for count in (100, 200, 300):
        kept.queued(BOB, count, count // 10)
    kept.settled(2)
    assert leftovers(path) == [Left(ALICE, 6, 52), Left(BOB, 30, 270)]
    kept.settled(1)
    kept.write(one, 0, 0)
    kept.free(two)
    assert leftovers(path) == []
    kept.close()


def test_a_living_process_keeps_its_file(tmp_path: Path) -> None:
    first, _ = opened(tmp_path / "u")
    assert first is not None
    first.write(first.take(ALICE), 1, 1)
    assert opened(tmp_path / "u") == (None, []), "neither taken away nor told twice"
    first.close()
    second, left = opened(tmp_path / "u")
    assert second is not None and left == [Left(ALICE, 1, 1)] and leftovers(tmp_path / "u") == []
    second.close()


def test_when_all_places_are_taken_nothing_breaks(tmp_path: Path) -> None:
    kept, _ = opened(tmp_path / "u")
    assert kept is not None
    assert [kept.take(ALICE) for _ in range(PLACES)] == list(range(PLACES)) and kept.take(BOB) == -1
    kept.write(-1, 5, 5)
    kept.name(-1, BOB)
    kept.free(-1)
    kept.write(PLACES - 1, 1, 2)
    for _ in range(ROWS + 10):
        kept.queued(BOB, 1, 0)
    kept.queued(BOB, -5, 3)  # impossible, and so is a word for a number
    kept.queued(BOB, "many", 0)  # type: ignore[arg-type]
    assert leftovers(tmp_path / "u") == [Left(ALICE, 1, 2), Left(BOB, 0, ROWS - 2)]
    kept.close()


@given(st.binary(max_size=200), st.integers(0, SIZE_BYTES - 200))
def test_any_file_is_read_or_passed_over(damage: bytes, at: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "u"
        kept, _ = opened(path)
        assert kept is not None
        kept.close()
        data = path.read_bytes()
        path.write_bytes(data[:at] + damage + data[at + len(damage) :])
        for each in leftovers(path):
            assert each.up_bytes >= 0 and each.down_bytes >= 0
        path.write_bytes(damage)
        assert leftovers(path) == []
        again, _ = opened(path)
        assert again is not None
        again.close()


def test_rows_that_a_kill_took_are_told_and_those_that_were_written_are_not(tmp_path: Path) -> None:
    """A process records rows and is killed; what its ledger has and what its file tells add up."""
    place, path = tmp_path / "ledger.sqlite", tmp_path / "u"
    script = (
        "import os, sys, time\nfrom pathlib import Path\nfrom proxy.ledger import Ledger, Row\n"
        "from proxy.underway import opened\n"
        f"kept, _ = opened(Path({str(path)!r}))\nledger = Ledger(Path({str(place)!r}), underway=kept)\n"
        f"row = lambda: Row(time_s=time.time(), role='downstream', decision='passed', subscriber={ALICE!r},"
        " link_bytes=1000, link_up_bytes=100)\n"
        "for n in range(500):\n    ledger.record(row())\n"
        "ledger.flush()\n"
        "for n in range(300):\n    ledger.record(row())\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == -signal.SIGKILL
    written = read.summary(place, 0.0, "downstream").totals.link_bytes
    [left] = leftovers(path)
    assert written >= 500_000 and left == Left(ALICE, (800_000 - written) // 10, (800_000 - written) // 10 * 9)


def test_a_ledger_that_cannot_write_settles_its_rows(tmp_path: Path) -> None:
    kept, _ = opened(tmp_path / "u")
    folder = tmp_path / "no.sqlite"
    folder.mkdir()
    ledger = Ledger(folder, underway=kept)
    ledger.record(Row(time_s=1.0, role="downstream", decision="passed", link_bytes=5))
    ledger.flush()
    assert ledger.dropped == 1 and leftovers(tmp_path / "u") == [], "dropped rows are counted as such, not kept twice"
    ledger.close()
