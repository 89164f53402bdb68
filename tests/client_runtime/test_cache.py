"""The cache on disk: hits, limits, damage, restarts, and whom an entry is for."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.service.cache import Cache, Entry, key_of

MIB = 1024 * 1024


def key(number: int = 0, **changes: Any) -> str:
    parts = {
        "bundle": b"bundle %d" % number,
        "prompt": None,
        "fingerprint": "fake@01234567",
        "media_type": "image/webp",
        "quality": 88,
        "client": None,
    }
    return key_of(**{**parts, **changes})


def entry(size_bytes: int = 1000) -> Entry:
    return Entry(b"x" * size_bytes, "image/webp", "fake@01234567")


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "change",
    [
        {"bundle": b"other"},
        {"prompt": "a cat"},
        {"prompt": ""},
        {"fingerprint": "fake@76543210"},
        {"media_type": "image/png"},
        {"quality": 87},
        {"client": "anna"},
    ],
    ids=str,
)
def test_everything_that_changes_a_picture_changes_its_key(change: dict[str, Any]) -> None:
    assert key(**change) != key()


def test_one_users_words_are_not_found_by_another() -> None:
    keys = {key(prompt="her letter", client=client) for client in ("anna", "bert", None)}
    assert len(keys) == 3


def test_a_mark_inside_a_part_is_no_boundary() -> None:
    assert key(bundle=b"x\x01y", prompt="z") != key(bundle=b"x", prompt="y\x01z")


@given(
    st.lists(st.tuples(st.binary(max_size=4), st.text("ab\0", max_size=3), st.text("ab\0", max_size=3)), max_size=30)
)
def test_parts_never_run_into_each_other(parts: list[tuple[bytes, str, str]]) -> None:
    keys = {key_of(data, prompt, "f", "m", 1, client) for data, prompt, client in parts}
    assert len(keys) == len(set(parts))


def test_a_stored_entry_comes_back_whole(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", MIB)
    assert cache.get(key()) is None
    cache.put(key(), entry())
    assert cache.get(key()) == entry()
    assert cache.state.entries == 1


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", MIB)
    cache.put(key(), entry())
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in files(tmp_path)] == [0o600]


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 3 * 4096)
    for number in range(3):
        cache.put(key(number), entry())
    assert cache.get(key(0)) is not None
    cache.put(key(3), entry())
    assert [cache.get(key(number)) is not None for number in range(4)] == [True, False, True, True]
    assert cache.state.size_bytes == 3 * 4096 and cache.state.evicted == 1 and len(files(tmp_path)) == 3


def test_an_entry_over_the_limit_evicts_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 2 * 4096)
    cache.put(key(0), entry())
    cache.put(key(1), entry(3 * 4096))
    assert cache.get(key(0)) is not None and cache.get(key(1)) is None


def test_an_entry_that_is_written_twice_counts_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path, MIB)
    cache.put(key(), entry(9000))
    cache.put(key(), entry(100))
    assert cache.state.size_bytes == 4096 and cache.get(key()) == entry(100)


def test_a_restart_keeps_entries_and_their_order(tmp_path: Path) -> None:
    cache = Cache(tmp_path, MIB)
    for number in range(3):
        cache.put(key(number), entry())
        os.utime(tmp_path / key(number)[:2] / key(number), (number, number))
    cache.get(key(0))
    again = Cache(tmp_path, 2 * 4096)
    assert [again.get(key(number)) is not None for number in range(3)] == [True, False, True]


def test_a_restart_clears_what_a_crash_left(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / ".unfinished-1234").write_bytes(b"half a pict")
    (tmp_path / "ab" / "notes.txt").write_bytes(b"not ours")
    assert Cache(tmp_path, MIB).state.entries == 0
    assert [path.name for path in files(tmp_path)] == ["notes.txt"]


def test_an_entry_cut_at_any_length_is_removed(tmp_path: Path) -> None:
    cache = Cache(tmp_path, MIB)
    cache.put(key(), entry(40))
    [path] = files(tmp_path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert cache.get(key()) is None
        assert not path.exists()
    assert cache.state.corrupt == len(whole) and cache.state.size_bytes == 0


def test_an_altered_byte_anywhere_is_noticed(tmp_path: Path) -> None:
    cache = Cache(tmp_path, MIB)
    cache.put(key(), entry(40))
    [path] = files(tmp_path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        assert cache.get(key()) is None


def test_another_entrys_file_under_this_name_is_noticed(tmp_path: Path) -> None:
    cache = Cache(tmp_path, MIB)
    cache.put(key(1), entry())
    [path] = files(tmp_path)
    target = tmp_path / key(2)[:2] / key(2)
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(path.read_bytes())
    assert cache.get(key(2)) is None


def test_a_full_disk_means_no_entry_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path, MIB)

    def full(source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        cache.put(key(), entry())
    assert cache.get(key()) is None and files(tmp_path) == [] and cache.state.write_errors == 1
    cache.put(key(), entry())
    assert cache.get(key()) == entry()


def test_a_folder_that_vanished_is_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", MIB)
    (tmp_path / "cache").rmdir()
    cache.put(key(), entry())
    assert cache.get(key()) == entry()


def test_an_entry_deleted_by_another_is_a_miss_and_not_counted(tmp_path: Path) -> None:
    cache = Cache(tmp_path, MIB)
    cache.put(key(), entry())
    files(tmp_path)[0].unlink()
    assert cache.get(key()) is None and cache.state.size_bytes == 0
