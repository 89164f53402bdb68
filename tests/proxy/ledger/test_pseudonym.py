"""Pseudonyms: the same for the same client, meaningless without the key, gone with it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from proxy.config import LedgerConfig
from proxy.ledger import pseudonym as module
from proxy.ledger.pseudonym import KeyUnsafe, Pseudonyms, key_file, load_key, pseudonym, rotate
from proxy.ledger.row import subscriber
from tests.proxy.ledger.rows import row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.key"


def test_the_key_is_made_once_and_for_its_owner(path: Path) -> None:
    first = Pseudonyms(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(path.read_bytes()) == 32
    assert first("192.0.2.7") == Pseudonyms(path)("192.0.2.7") != first("192.0.2.8")
    assert [each.name for each in path.parent.iterdir()] == ["ledger.key"]


def test_a_pseudonym_is_hmac_and_fits_the_ledger() -> None:
    # RFC 4231, test case 2
    assert pseudonym(b"Jefe", "what do ya want for nothing?") == "5bdcc146bf60754e"
    assert subscriber(row(subscriber=pseudonym(b"k", "ada"))) == pseudonym(b"k", "ada")
    assert pseudonym(b"k", "ada\udcff")  # names come from the wire


def test_a_rotated_key_is_noticed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Pseudonyms(path)
    old, old_key = names("ada"), path.read_bytes()
    rotate(path)
    assert names("ada") == old  # it looks every few seconds
    names._look_after = 0.0
    assert names("ada") != old
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.read_bytes() != old_key
    assert [each.name for each in path.parent.iterdir()] == ["ledger.key"]


def test_a_key_that_others_can_read_is_refused(path: Path) -> None:
    names = Pseudonyms(path)
    path.chmod(0o640)
    with pytest.raises(KeyUnsafe, match="chmod 600"):
        load_key(path)
    path.unlink()
    names._look_after = 0.0
    assert names("ada") == ""  # rather nobody than somebody without a key


def test_a_key_of_another_length_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    with pytest.raises(KeyUnsafe, match="rotate-key"):
        Pseudonyms(path)


def test_two_that_start_together_get_one_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = module.os.link

    def slow(draft: Path, target: Path) -> None:
        if not target.exists():
            target.write_bytes(b"k" * 32)
            target.chmod(0o600)
        link(draft, target)

    monkeypatch.setattr(module.os, "link", slow)
    assert load_key(path) == b"k" * 32


def test_where_the_key_is(tmp_path: Path) -> None:
    assert key_file(LedgerConfig(), tmp_path) == tmp_path / "ledger.key"
    assert key_file(LedgerConfig(key_file="~/k"), tmp_path) == Path.home() / "k"
