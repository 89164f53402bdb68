from __future__ import annotations

from pathlib import Path

import pytest

from proxy.access.pairing import TokenFileError, Tokens, read_tokens, rotate

TOKEN, OTHER = "a" * 43, "b" * 43


def test_each_token_of_the_file_counts_and_the_first_is_sent() -> None:
    tokens = Tokens((TOKEN, OTHER))
    assert tokens.header == f"Bearer {TOKEN}"
    assert tokens.accepts(tokens.header) and tokens.accepts(f"bearer {OTHER}") and tokens.accepts(f"Bearer  {TOKEN} ")


@pytest.mark.parametrize(
    "shown", [None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \udc80"]
)
def test_nothing_else_counts(shown: str | None) -> None:
    assert not Tokens((TOKEN,)).accepts(shown)


def test_tokens_show_in_no_representation() -> None:
    assert TOKEN not in repr(Tokens((TOKEN,))) and TOKEN not in str(Tokens((TOKEN,)))


def test_rotation_keeps_one_old_token(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "tokens"
    first, second, third = (rotate(file) for _ in range(3))
    assert file.stat().st_mode & 0o777 == 0o600
    assert second.values[1:] == first.values and third.values == (third.values[0], second.values[0])
    assert read_tokens(file) == third and not third.accepts(first.header)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (f"{TOKEN}\n", 0o644, "read by others"),
        ("# nothing\n", 0o600, "holds no token"),
        ("short\n", 0o600, "32 to 128"),
        (f"{TOKEN}\n" * 3, 0o600, "2 at most"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, mode: int, said: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(TokenFileError, match=said) as raised:
        read_tokens(file)
    assert TOKEN not in str(raised.value)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match="sketchwire access rotate"):
        read_tokens(tmp_path / "none")
