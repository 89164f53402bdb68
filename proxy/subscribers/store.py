"""The subscribers' file: accounts, consents as they were given and taken back, and what each used a day.

In: subscribers, consents, bytes. Out: the same, whole, also after a crash. Refuses: files of a later version, files
that are no database (`StoreError`), a second subscriber of a name, a network that is another's (`SubscriberError`).

SQLite in write-ahead mode, 0600. Each change is one transaction; accounts and consents are on the disk before the call
returns. Several processes may have it open: `generation` tells whether accounts changed, and use is added up.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from proxy.subscribers.account import Consent, Quota, Subscriber, SubscriberError, networks_of
from proxy.subscribers.networks import NetworkMap
from proxy.subscribers.schedule import parse_schedule

FORMAT = 1
BUSY_S = 5.0
KEEP_USE = "-70 days"  # this month's and last month's days
_SCHEMA = """
CREATE TABLE subscriber (
    name TEXT PRIMARY KEY, tier TEXT NOT NULL, networks TEXT NOT NULL, day_bytes INTEGER NOT NULL,
    month_bytes INTEGER NOT NULL, schedule TEXT NOT NULL, added_s REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE consent (name TEXT NOT NULL, version TEXT NOT NULL, time_s REAL NOT NULL, given INTEGER NOT NULL);
CREATE INDEX consent_of ON consent (name, time_s);
CREATE TABLE use (
    name TEXT NOT NULL, day TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (name, day)
) WITHOUT ROWID;
CREATE TABLE generation (number INTEGER NOT NULL);
INSERT INTO generation VALUES (1);
"""
_LAST_CONSENT = """
SELECT name, version, time_s, given FROM consent
WHERE rowid IN (SELECT MAX(rowid) FROM consent GROUP BY name)
"""


class StoreError(OSError):
    """The file cannot be used; the message says why and what to do."""


class Store:
    """The file at `path`, made at need. One thread at a time may use it."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError."""
        self._path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._base = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{path} cannot be opened ({error})") from error
        try:
            with self._guarded():
                self._prepare()
        except StoreError:
            self._base.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def generation(self) -> int:
        """A number that grows with each change of an account. Raises StoreError."""
        with self._guarded():
            return int(self._base.execute("SELECT number FROM generation").fetchone()[0])

    def subscribers(self) -> dict[str, Subscriber]:
        """All accounts by name. Raises StoreError."""
        with self._guarded():
            consents = {
                name: Consent(version, time_s)
                for name, version, time_s, given in self._base.execute(_LAST_CONSENT)
                if given
            }
            rows = self._base.execute(
                "SELECT name, tier, networks, day_bytes, month_bytes, schedule FROM subscriber ORDER BY name"
            ).fetchall()
            return {row[0]: _subscriber(row, consents.get(row[0])) for row in rows}

    def add(self, subscriber: Subscriber, now_s: float) -> None:
        """Keep a new account and the consent it carries. Raises SubscriberError, StoreError."""
        with self._changing():
            if self._base.execute("SELECT 1 FROM subscriber WHERE name = ?", (subscriber.name,)).fetchone():
                raise SubscriberError(f"{subscriber.name} is a subscriber already; change them with `set`")
            self._check_networks(subscriber)
            self._base.execute("INSERT INTO subscriber VALUES (?, ?, ?, ?, ?, ?, ?)", (*_values(subscriber), now_s))
            if subscriber.consent is not None:
                self._record_consent(subscriber.name, subscriber.consent, True)

    def set(self, subscriber: Subscriber) -> None:
        """Replace an account; its consents are left alone. Raises SubscriberError, StoreError."""
        with self._changing():
            self._known(subscriber.name)
            self._check_networks(subscriber)
            name, *rest = _values(subscriber)
            self._base.execute(
                "UPDATE subscriber SET tier = ?, networks = ?, day_bytes = ?, month_bytes = ?, schedule = ?"
                " WHERE name = ?",
                (*rest, name),
            )

    def consent(self, name: str, consent: Consent, given: bool) -> None:
        """Record that a consent was given, or taken back. Raises SubscriberError, StoreError."""
        with self._changing():
            self._known(name)
            self._record_consent(name, consent, given)

    def consents(self, name: str) -> list[tuple[Consent, bool]]:
        """Every consent of a subscriber in order, each with whether it was given or taken back. Raises StoreError."""
        with self._guarded():
            rows = self._base.execute(
                "SELECT version, time_s, given FROM consent WHERE name = ? ORDER BY rowid", (name,)
            ).fetchall()
        return [(Consent(version, time_s), bool(given)) for version, time_s, given in rows]

    def forget(self, name: str) -> bool:
        """Delete an account, its consents and its use, by overwriting; False when there was none. Raises StoreError."""
        with self._guarded():
            self._base.execute("PRAGMA secure_delete = ON")
        with self._changing():
            known = self._base.execute("DELETE FROM subscriber WHERE name = ?", (name,)).rowcount > 0
            self._base.execute("DELETE FROM consent WHERE name = ?", (name,))
            self._base.execute("DELETE FROM use WHERE name = ?", (name,))
        with self._guarded():
            self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return known

    def add_use(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Add bytes by (name, day); those of unknown names are dropped. Raises StoreError."""
        with self._guarded(), self._transaction():
            self._base.executemany(
                "INSERT INTO use SELECT ?, ?, ? WHERE EXISTS (SELECT 1 FROM subscriber WHERE name = ?)"
                " ON CONFLICT (name, day) DO UPDATE SET bytes = bytes + excluded.bytes",
                [(name, day, count, name) for (name, day), count in counts.items()],
            )
            self._base.execute("DELETE FROM use WHERE day < date('now', ?)", (KEEP_USE,))

    def use(self, names: Iterable[str] | None = None) -> dict[str, dict[str, int]]:
        """Bytes by day, of some names or of all. Raises StoreError."""
        found: dict[str, dict[str, int]] = {}
        with self._guarded():
            if names is None:
                rows = self._base.execute("SELECT name, day, bytes FROM use").fetchall()
            else:
                query = "SELECT name, day, bytes FROM use WHERE name IN (SELECT value FROM json_each(?))"
                rows = self._base.execute(query, (json.dumps(list(names)),)).fetchall()
        for name, day, count in rows:
            found.setdefault(name, {})[day] = count
        return found

    def _prepare(self) -> None:
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = FULL")
        version = int(self._base.execute("PRAGMA user_version").fetchone()[0])
        if version > FORMAT:
            raise StoreError(f"{self._path} was made by a later version; use that one")
        if version == 0:
            with self._transaction():
                if int(self._base.execute("PRAGMA user_version").fetchone()[0]) == 0:  # nobody was faster
                    for statement in _SCHEMA.split(";"):
                        self._base.execute(statement)
                    self._base.execute(f"PRAGMA user_version = {FORMAT}")

    def _known(self, name: str) -> None:
        if not self._base.execute("SELECT 1 FROM subscriber WHERE name = ?", (name,)).fetchone():
            raise SubscriberError(f"{name} is no subscriber; `sketchwire subscribers list` shows who is")

    def _check_networks(self, subscriber: Subscriber) -> None:
        if subscriber.networks:
            rows = self._base.execute(
                "SELECT name, tier, networks, day_bytes, month_bytes, schedule FROM subscriber WHERE name <> ?",
                (subscriber.name,),
            ).fetchall()
            NetworkMap([*(_subscriber(row, None) for row in rows if row[2]), subscriber])

    def _record_consent(self, name: str, consent: Consent, given: bool) -> None:
        self._base.execute("INSERT INTO consent VALUES (?, ?, ?, ?)", (name, consent.version, consent.time_s, given))

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """A transaction that changes accounts."""
        with self._guarded(), self._transaction():
            yield
            self._base.execute("UPDATE generation SET number = number + 1")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be used ({error})") from error


def _values(subscriber: Subscriber) -> tuple[str, str, str, int, int, str]:
    networks = " ".join(str(network) for network in subscriber.networks)
    quota = subscriber.quota
    return subscriber.name, subscriber.tier, networks, quota.day_bytes, quota.month_bytes, subscriber.schedule.text


def _subscriber(row: tuple[str, str, str, int, int, str], consent: Consent | None) -> Subscriber:
    name, tier, networks, day_bytes, month_bytes, schedule = row
    quota = Quota(day_bytes, month_bytes)
    return Subscriber(name, tier, networks_of(networks.split()), quota, parse_schedule(schedule), consent)
