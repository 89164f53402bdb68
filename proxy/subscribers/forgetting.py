"""Forgets a subscriber everywhere: the account, the password, and what the ledger holds about them.

In: a name, the configuration. Out: what was deleted. Refuses: a name that is known nowhere (`SubscriberError`).

The ledger comes first: it is found by the pseudonym, which only the name leads to.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proxy.access.htpasswd import PasswordFileError, read_users
from proxy.config import Config
from proxy.ledger.database import ledger_place
from proxy.ledger.pseudonym import key_file, load_key, pseudonym
from proxy.ledger.subject import UnknownSubscriber, forget
from proxy.statefile import write_bytes
from proxy.subscribers.account import SubscriberError
from proxy.subscribers.admission import file_of
from proxy.subscribers.store import Store


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Where there was something."""

    account: bool
    password: bool
    rows: int
    sums: int


def forget_everywhere(config: Config, name: str) -> Forgotten:
    """Delete all that is kept about `name`. Raises SubscriberError, StoreError, LedgerUnreadable, OSError."""
    rows, sums = _in_the_ledger(config, name)
    store = Store(file_of(config))
    try:
        account = store.forget(name)
    finally:
        store.close()
    password = _password(config, name)
    if not (account or password or rows or sums):
        raise SubscriberError(f"{name} is known nowhere: no account, no password, nothing in the ledger")
    return Forgotten(account, password, rows, sums)


def pseudonym_of(config: Config, name: str) -> str:
    """The name's pseudonym in the ledger; empty while there is no key."""
    path = key_file(config.ledger, config.downstream.state_dir)
    return pseudonym(load_key(path), f"user {name}") if path.is_file() else ""


def _in_the_ledger(config: Config, name: str) -> tuple[int, int]:
    place, known_as = ledger_place(config.ledger, config.downstream.state_dir), pseudonym_of(config, name)
    if not known_as or (isinstance(place, Path) and not place.is_file()):
        return 0, 0
    try:
        gone = forget(place, known_as)
    except UnknownSubscriber:
        return 0, 0
    return gone.rows, gone.sums


def _password(config: Config, name: str) -> bool:
    """Take a user out of the password file, if there is one and it is there."""
    if not config.access.proxyauth:
        return False
    path = Path(config.access.proxyauth).expanduser()
    with suppress(PasswordFileError):
        if name in read_users(path).hashes:
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            write_bytes(path, "".join(line for line in lines if line.strip().partition(":")[0] != name).encode())
            return True
    return False
