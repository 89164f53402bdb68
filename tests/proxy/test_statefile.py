from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy import statefile
from proxy.statefile import local_key, read_object, write_object


def test_what_was_written_comes_back_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    write_object(file, {"a": [1, "ü"]})
    assert read_object(file) == {"a": [1, "ü"]} and file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["state.json"]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"1", b"[" * 100_000])
def test_broken_files_are_moved_aside(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "state.json"
    file.write_bytes(text)
    assert read_object(file, move_aside=False) == {} and file.exists()
    assert read_object(file) == {}
    assert not file.exists() and (tmp_path / "state.json.broken").read_bytes() == text


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state.json"
    write_object(file, {"old": True})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(statefile.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_object(file, {"new": True})
    assert read_object(file) == {"old": True} and os.listdir(tmp_path) == ["state.json"]
    assert len(local_key(tmp_path / "key")) == 32, "one for this process"


def test_the_key_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / "key"
    key = local_key(file)
    assert local_key(file) == key and file.stat().st_mode & 0o777 == 0o600
