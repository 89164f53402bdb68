"""What is kept of pictures: the extremes, small, for a while, and nothing of whoever is forgotten."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from proxy.gallery.shelf import MAX_FILE_BYTES, Shelf, clear, forget, pairs
from tests.proxy.gallery.pictures import NOW_S, pair

ADA, BOB = "a" * 16, "b" * 16
DAY_S = 86_400.0


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "gallery", 2, 7 * DAY_S)


def qualities(shelf: Shelf) -> list[float]:
    return [one.facts.quality for one in pairs(shelf.folder)]


def test_a_pair_comes_back_as_it_was_for_its_owner_alone(shelf: Shelf) -> None:
    put = pair(0.8125, mode="salient")
    assert shelf.wants(0.8125, put.sent)
    shelf.put(put, ADA)
    assert list(pairs(shelf.folder)) == [put]
    [file] = shelf.folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(shelf.folder.stat().st_mode) == 0o700
    assert not shelf.wants(0.1, put.sent)  # the same picture again


def test_only_the_extremes_stay(shelf: Shelf) -> None:
    for quality in (0.5, 0.6, 0.7, 0.8, 0.4, 0.9, 0.65):
        one = pair(quality)
        if shelf.wants(quality, one.sent):
            shelf.put(one)
    assert qualities(shelf) == [0.4, 0.5, 0.8, 0.9]
    assert not shelf.wants(0.65, b"another") and shelf.wants(0.45, b"another") and shelf.wants(0.85, b"another")


def test_pairs_get_too_old(shelf: Shelf) -> None:
    shelf.put(pair(0.5, NOW_S))
    shelf.put(pair(0.6, NOW_S + 6 * DAY_S))
    shelf.tidy(NOW_S + 6 * DAY_S)
    assert qualities(shelf) == [0.5, 0.6]
    shelf.tidy(NOW_S + 8 * DAY_S)
    assert qualities(shelf) == [0.6]


def test_a_report_reads_its_own_period(shelf: Shelf) -> None:
    shelf.put(pair(0.5, NOW_S))
    shelf.put(pair(0.6, NOW_S + DAY_S))
    assert [one.facts.quality for one in pairs(shelf.folder, NOW_S + 1)] == [0.6]
    assert [one.facts.quality for one in pairs(shelf.folder, 0.0, NOW_S + DAY_S)] == [0.5]


def test_forgetting_takes_a_persons_pictures_and_no_others(shelf: Shelf) -> None:
    shelf.put(pair(0.5), ADA)
    shelf.put(pair(0.6), BOB)
    shelf.put(pair(0.7))
    assert forget(shelf.folder, ADA) == 1 and forget(shelf.folder, ADA) == 0
    assert qualities(shelf) == [0.6, 0.7]
    assert not any(ADA in file.name or ADA.encode() in file.read_bytes() for file in shelf.folder.iterdir())


def test_switched_off_nothing_is_kept_and_what_there_was_goes(shelf: Shelf) -> None:
    shelf.put(pair(0.5), ADA)
    (shelf.folder / "mine.txt").write_text("not ours")
    off = Shelf(shelf.folder, 0, DAY_S)
    assert not off.wants(0.1, b"x")
    clear(shelf.folder)
    assert [file.name for file in shelf.folder.iterdir()] == ["mine.txt"]
    clear(shelf.folder / "never")


def test_files_of_others_and_broken_ones_are_passed_over(shelf: Shelf) -> None:
    shelf.put(pair(0.5))
    good = next(iter(shelf.folder.iterdir()))
    (shelf.folder / good.name.replace("0.5000", "0.1000")).write_bytes(b"no archive")
    (shelf.folder / "0.2-1-x.pair").write_bytes(b"")
    (shelf.folder / good.name.replace("0.5000", "0.9000")).write_bytes(bytes(MAX_FILE_BYTES + 1))
    assert qualities(shelf) == [0.5]
    shelf.put(pair(0.55), "../../etc")
    assert len(qualities(shelf)) == 1
