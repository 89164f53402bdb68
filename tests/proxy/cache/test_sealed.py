from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from proxy.cache.sealed import KEY_FILE, Seal, seal_of
from proxy.statefile import KEY_BYTES

NAME = "0f" * 16 + ".body"


def test_heads_come_back_and_look_different_each_time() -> None:
    seal = Seal(os.urandom(KEY_BYTES))
    text = '{"a": "\udcff é"}'
    first, second = seal.head(text), seal.head(text)
    assert first != second and text.encode("utf-8", "surrogateescape") not in first
    assert seal.open_head(first) == seal.open_head(second) == text


@pytest.mark.parametrize("spoil", [lambda b: b[:-1], lambda b: b"", lambda b: bytes([b[0] ^ 1]) + b[1:], lambda b: "x"])
def test_an_altered_head_is_refused(spoil: object) -> None:
    seal = Seal(os.urandom(KEY_BYTES))
    with pytest.raises(ValueError):
        seal.open_head(spoil(seal.head("head")))  # type: ignore[operator]


def test_another_key_opens_nothing() -> None:
    with pytest.raises(ValueError):
        Seal(bytes(KEY_BYTES)).open_head(Seal(os.urandom(KEY_BYTES)).head("head"))


def test_bodies_are_sealed_in_pieces_and_no_two_alike() -> None:
    seal, body = Seal(os.urandom(KEY_BYTES)), bytes(5000)
    sealing = seal.body(NAME)
    sealed = sealing.update(body[:7]) + sealing.update(body[7:])
    assert seal.body(NAME).update(sealed) == body
    assert bytes(64) not in sealed and seal.body("1" + NAME[1:]).update(body) != sealed


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    head = seal_of(tmp_path).head("head")
    assert seal_of(tmp_path).open_head(head) == "head"
    file = tmp_path / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_bytes(b"short")
    with pytest.raises(ValueError):
        seal_of(tmp_path).open_head(head)
    assert len(file.read_bytes()) == KEY_BYTES
