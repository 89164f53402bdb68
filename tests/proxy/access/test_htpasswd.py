from __future__ import annotations

from pathlib import Path

import pytest

from proxy.access.htpasswd import PasswordFileError, read_users, set_password

PASSWORD = "correct horse"


def test_a_user_is_let_in_with_the_right_password_only(tmp_path: Path) -> None:
    file = tmp_path / "users"
    set_password(file, "alice", PASSWORD)
    set_password(file, "bob", "another password")
    set_password(file, "bob", "a newer password")
    users = read_users(file)
    assert file.stat().st_mode & 0o777 == 0o600 and PASSWORD not in file.read_text()
    assert users.check("alice", PASSWORD) and users.check("bob", "a newer password")
    for name, password in (("alice", "wrong"), ("alice", ""), ("bob", "another password"), ("carol", PASSWORD)):
        assert not users.check(name, password)
    assert not users.check("alice", PASSWORD + "\0") and not users.check("alice", "x" * 10_000)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("alice:secret", "too weak"),
        ("alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "too weak"),
        ("alice:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00", "too weak"),
        ("alice:$6$salt$abcdef", "too weak"),
        ("alice", "too weak"),
        (":$apr1$x", "no user name"),
        ("alice:$scrypt$ln=25,r=8,p=1$" + "a" * 22 + "$" + "b" * 43, "out of bounds"),
        ("alice:$2y$31$" + "a" * 53, "takes seconds"),
        ("", "holds no user"),
    ],
)
def test_files_that_would_let_guessers_in(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "users"
    file.write_text(f"# users\n\n{line}\n")
    file.chmod(0o600)
    with pytest.raises(PasswordFileError, match=said) as raised:
        read_users(file)
    assert "secret" not in str(raised.value)


def test_a_file_that_others_can_change(tmp_path: Path) -> None:
    file = tmp_path / "users"
    set_password(file, "alice", PASSWORD)
    file.chmod(0o666)
    with pytest.raises(PasswordFileError, match="written by others"):
        read_users(file)


@pytest.mark.parametrize(
    ("name", "password"), [("a:b", PASSWORD), ("", PASSWORD), ("a b", PASSWORD), ("alice", "short")]
)
def test_names_and_passwords_that_are_none(tmp_path: Path, name: str, password: str) -> None:
    with pytest.raises(ValueError):
        set_password(tmp_path / "users", name, password)
    assert not (tmp_path / "users").exists()
