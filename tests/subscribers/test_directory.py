"""Users of an LDAP directory, with ldap3's own stand-in for one, and what is refused before it is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ldap3
import pytest

from proxy.subscribers.directory import Directory, DirectoryError, DirectoryUsers, read_password, users_of

BASE = "ou=people,dc=example,dc=org"
READER = f"cn=reader,{BASE}"
DIRECTORY = Directory("ldaps://ldap.example.org", BASE, bind_dn=READER, password="for reading")
PEOPLE = {
    "alice": {"uid": "alice", "userPassword": "correct horse", "objectClass": "person"},
    "twin1": {"uid": "twin", "userPassword": "one", "objectClass": "person"},
    "twin2": {"uid": "twin", "userPassword": "two", "objectClass": "person"},
    "reader": {"uid": "reader", "userPassword": "for reading", "objectClass": "person"},
}


def mocked(asked: list[str]) -> Callable[[Directory, str, str], Any]:
    def connect(directory: Directory, dn: str, password: str) -> Any:
        asked.append(dn)
        server = ldap3.Server("mock", get_info=ldap3.NONE)
        connection = ldap3.Connection(server, dn, password, client_strategy=ldap3.MOCK_SYNC)
        for name, entry in PEOPLE.items():
            connection.strategy.add_entry(f"cn={name},{BASE}", dict(entry))
        connection.open()
        connection.bind()
        return connection

    return connect


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def users(asked: list[str]) -> DirectoryUsers:
    return DirectoryUsers({}, DIRECTORY, mocked(asked))


@pytest.mark.parametrize(
    ("name", "password", "right"),
    [
        ("alice", "correct horse", True),
        ("alice", "wrong horse", False),
        ("nobody", "correct horse", False),
        ("twin", "one", False),
    ],
)
def test_a_password_is_right_when_one_entry_signs_in_with_it(
    users: DirectoryUsers, name: str, password: str, right: bool
) -> None:
    assert users.check(name, password) is right


@pytest.mark.parametrize("name", ["*", "al*", "alice)(uid=*", "alice\0", "", "a" * 65])
def test_names_that_would_change_the_question_are_not_asked(users: DirectoryUsers, asked: list[str], name: str) -> None:
    assert not users.check(name, "correct horse") and asked == []


@pytest.mark.parametrize("password", ["", "correct horse\0"])
def test_no_password_is_no_sign_in(users: DirectoryUsers, asked: list[str], password: str) -> None:
    assert not users.check("alice", password) and asked == []


def test_who_cannot_search_lets_nobody_in(asked: list[str]) -> None:
    wrong = Directory("ldaps://ldap.example.org", BASE, bind_dn=READER, password="of yesterday")
    assert not DirectoryUsers({}, wrong, mocked(asked)).check("alice", "correct horse")


def test_a_directory_that_is_away_lets_nobody_in() -> None:
    assert not users_of(Directory("ldap://127.0.0.1:1", BASE)).check("alice", "correct horse")


def test_remembered_passwords_end_with_the_settings() -> None:
    other = Directory("ldaps://ldap.example.org", BASE, bind_dn=READER, password="new")
    assert users_of(DIRECTORY).hashes == users_of(DIRECTORY).hashes != users_of(other).hashes


@pytest.mark.parametrize(
    ("url", "base", "search"),
    [
        ("http://x", BASE, "(uid={name})"),
        ("ldaps://", BASE, "(uid={name})"),
        ("ldaps://x", "", "(uid={name})"),
        ("ldaps://x", BASE, "uid={name}"),
        ("ldaps://x", BASE, "(uid=x)"),
    ],
)
def test_settings_that_make_no_sense(url: str, base: str, search: str) -> None:
    with pytest.raises(DirectoryError):
        Directory(url, base, search)


def test_the_password_for_searches_is_nobody_elses(tmp_path: Path) -> None:
    file = tmp_path / "p"
    for make in (lambda: None, lambda: file.write_text(""), lambda: file.write_text("x\n")):
        make()
        with pytest.raises(DirectoryError):
            read_password(str(file))
    file.chmod(0o600)
    assert read_password(str(file)) == "x" and read_password("") == ""
    assert "for reading" not in repr(DIRECTORY)
