"""The file of subscribers: kept whole, shared by processes, and what a kill leaves."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from proxy.ledger.pseudonym import pseudonym
from proxy.subscribers.account import Consent, Quota, Subscriber, SubscriberError, networks_of
from proxy.subscribers.book import Book
from proxy.subscribers.decide import Rules, Serve
from proxy.subscribers.quota import Used
from proxy.subscribers.schedule import parse_schedule
from proxy.subscribers.store import Store, StoreError

NOON_S = 1_795_348_800.0  # 2026-11-22 12:00 UTC
ALICE = Subscriber(
    "alice",
    "economy",
    networks_of(["192.0.2.0/24", "2001:db8::/48"]),
    Quota(10, 100),
    parse_schedule("mon-fri 18:00-23:00, congested"),
    Consent("2026-11", 5.0),
)
KEY = b"k" * 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "s.sqlite")
    yield store
    store.close()


def test_what_is_kept_comes_back(store: Store, tmp_path: Path) -> None:
    store.add(ALICE, 1.0)
    store.add(Subscriber("bob", "off"), 2.0)
    assert (tmp_path / "s.sqlite").stat().st_mode & 0o777 == 0o600
    again = Store(tmp_path / "s.sqlite")
    assert again.subscribers() == {"alice": ALICE, "bob": Subscriber("bob", "off")}
    changed = replace(ALICE, tier="faithful", networks=(), quota=Quota(), schedule=parse_schedule("always"))
    again.set(changed)
    assert store.subscribers()["alice"] == changed, "the other process sees it, consent and all"
    again.close()


def test_names_and_networks_are_taken_once(store: Store) -> None:
    store.add(ALICE, 1.0)
    before = store.generation()
    with pytest.raises(SubscriberError, match="already"):
        store.add(Subscriber("alice", "off"), 2.0)
    with pytest.raises(SubscriberError, match="is alice's"):
        store.add(Subscriber("bob", "off", networks_of(["192.0.2.0/24"])), 2.0)
    for change in (
        lambda: store.set(Subscriber("carl", "off")),
        lambda: store.consent("carl", Consent("1", 1.0), True),
    ):
        with pytest.raises(SubscriberError, match="is no subscriber"):
            change()
    assert store.generation() == before and set(store.subscribers()) == {"alice"}


def test_consents_are_a_history(store: Store) -> None:
    store.add(replace(ALICE, consent=None), 1.0)
    steps = [(Consent("1", 10.0), True), (Consent("1", 20.0), False), (Consent("2", 30.0), True)]
    seen = []
    for consent, given in steps:
        store.consent("alice", consent, given)
        seen.append(store.subscribers()["alice"].consent)
    assert seen == [Consent("1", 10.0), None, Consent("2", 30.0)] and store.consents("alice") == steps


def test_use_is_added_up_and_ends_with_the_account(store: Store, tmp_path: Path) -> None:
    store.add(ALICE, 1.0)
    other = Store(tmp_path / "s.sqlite")
    for each in (store, other, store):
        each.add_use({("alice", "2026-11-22"): 5, ("stranger", "2026-11-22"): 7})
    assert other.use() == {"alice": {"2026-11-22": 15}} == other.use(["alice"]) and other.use(["x"]) == {}
    other.close()
    assert store.forget("alice") and not store.forget("alice")
    assert store.subscribers() == {} and store.use() == {} and store.consents("alice") == []
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"alice" not in files and b"2026-11" not in files.replace(b"2026-11-22", b""), "overwritten"


def test_files_that_are_none(tmp_path: Path) -> None:
    broken, later = tmp_path / "b.sqlite", tmp_path / "l.sqlite"
    broken.write_bytes(b"no database " * 500)
    with pytest.raises(StoreError, match="cannot be used"):
        Store(broken)
    with sqlite3.connect(later) as base:
        base.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="later version"):
        Store(later)


def test_a_killed_writer_loses_nothing_that_it_was_told_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from proxy.subscribers.store import Store\nfrom proxy.subscribers.account import Subscriber\n"
        f"store = Store(Path({str(path)!r}))\n"
        "for n in range(100000):\n"
        "    store.add(Subscriber(f's{n}', 'off'), 1.0)\n    print(n, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= 20:
                break
        writer.kill()
        kept = max([20, *(int(line) for line in writer.stdout if line.strip().isdigit())])
    store = Store(path)
    assert {f"s{n}" for n in range(kept + 1)} <= set(store.subscribers())
    store.add(ALICE, 1.0)
    store.close()


@pytest.fixture
def book(store: Store, tmp_path: Path) -> Iterator[Book]:
    store.add(replace(ALICE, schedule=parse_schedule("always")), 1.0)
    book = Book(tmp_path / "s.sqlite", Rules(), ZoneInfo("UTC"), lambda who: pseudonym(KEY, who), clock=lambda: NOON_S)
    yield book
    book.close()


def test_rows_are_charged_by_their_pseudonym(book: Book, store: Store) -> None:
    name = pseudonym(KEY, "user alice")
    book.charge(name, 7, 0.1)
    book.charge(pseudonym(KEY, "user bob"), 1000, 0.1)
    assert book.used("alice") == Used(7, 7), "at once"
    assert book.verdict("alice") == Serve("economy", "chosen")
    book.charge(name, 3, 0.1)
    assert book.reload() and book.used("alice") == Used(10, 10) and store.use() == {"alice": {"2026-11-22": 10}}
    assert book.verdict("alice") == Serve("economy", "day used up")


def test_processes_see_each_others_use_and_changes(book: Book, store: Store) -> None:
    store.add_use({("alice", "2026-11-21"): 95})
    book.charge(pseudonym(KEY, "user alice"), 5, 0.1)
    assert book.reload() and book.used("alice") == Used(5, 100)
    store.set(replace(ALICE, tier="faithful", quota=Quota()))
    assert book.reload() and book.verdict("alice") == Serve("off", "outside the schedule")
    store.forget("alice")
    assert book.reload() and book.of("alice") is None and book.at("192.0.2.9") is None


def test_a_new_key_gives_new_pseudonyms(store: Store, tmp_path: Path) -> None:
    store.add(ALICE, 1.0)
    keys = [KEY]
    book = Book(tmp_path / "s.sqlite", Rules(), ZoneInfo("UTC"), lambda who: pseudonym(keys[-1], who))
    keys.append(b"n" * 32)
    book.charge(pseudonym(keys[-1], "user alice"), 9, 0.1)
    assert book.used("alice").day_bytes == 9
    book.close()
    assert sum(store.use()["alice"].values()) == 9, "written when it ends"
