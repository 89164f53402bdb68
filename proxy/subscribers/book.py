"""The subscribers as a running proxy knows them: accounts from the file, use counted here and added up there.

In: names, addresses, rows of the ledger. Out: verdicts (`decide`), at once and without a disk. Refuses: to stop serving
when the file cannot be read or written: what was read last holds, and what was counted is kept for later.

One thread adds what was used to the file every second, reads what other processes of this machine added, and notices
changed accounts; `reload` makes it look now. A crash loses at most the use of the last second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from proxy.subscribers.account import Subscriber
from proxy.subscribers.congestion import Congestion
from proxy.subscribers.decide import Rules, Verdict, decide
from proxy.subscribers.networks import NetworkMap
from proxy.subscribers.quota import Used, day_of, used
from proxy.subscribers.store import Store, StoreError

logger = logging.getLogger("sketchwire.subscribers")

EVERY_S = 1.0
READ_ALL_EVERY_S = 30.0
_PROBE = "user "  # nobody's name: a pseudonym that changes only with the key

Pseudonym = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _Accounts:
    """What was read together."""

    subscribers: dict[str, Subscriber]
    networks: NetworkMap
    names: dict[str, str]  # by pseudonym
    probe: str


class Book:
    """The accounts of the file at `path`. `pseudonym` is the ledger's, by which rows say whose they are."""

    def __init__(
        self,
        path: Path,
        rules: Rules,
        zone: ZoneInfo,
        pseudonym: Pseudonym,
        congestion: Congestion | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Reads the file. Raises StoreError."""
        self.rules, self.zone = rules, zone  # may be replaced while flows pass
        self.congestion = congestion or Congestion(0.0)
        self._pseudonym, self._clock = pseudonym, clock
        self._store = Store(path)
        self._generation = self._store.generation()
        self._accounts = self._named(self._store.subscribers())
        self._filed = self._store.use()
        self._lock = threading.Lock()
        self._pending: Counter[tuple[str, str]] = Counter()
        self._look = threading.Condition()
        self._asked = self._done = 0
        self._closing = False
        self._read_all_after = time.monotonic() + READ_ALL_EVERY_S
        self._said = False
        self._thread = threading.Thread(target=self._run, name="subscribers", daemon=True)
        self._thread.start()

    # for flows

    def of(self, name: str) -> Subscriber | None:
        """The subscriber of a name."""
        return self._accounts.subscribers.get(name)

    def at(self, address: str) -> str | None:
        """The name of the subscriber whose network an address is in."""
        return self._accounts.networks.name(address)

    def verdict(self, name: str | None) -> Verdict:
        """The terms for a request of the subscriber `name` (None: of nobody known)."""
        subscriber = self.of(name) if name is not None else None
        now = datetime.fromtimestamp(self._clock(), self.zone)
        spent = self.used(name, now) if subscriber is not None and name is not None else Used()
        congested = self.congestion.is_congested(time.monotonic())
        return decide(subscriber, spent, now, congested, self.rules)

    def used(self, name: str, now: datetime | None = None) -> Used:
        """What a subscriber used, as far as is known here."""
        now = now or datetime.fromtimestamp(self._clock(), self.zone)
        with self._lock:
            by_day = Counter(self._filed.get(name, {}))
            by_day.update({day: count for (each, day), count in self._pending.items() if each == name})
        return used(by_day, now)

    def charge(self, pseudonym: str, count: int, took_s: float) -> None:
        """`count` bytes crossed the link for whom the ledger calls `pseudonym`, in `took_s` seconds."""
        if count <= 0:
            return
        self.congestion.crossed(count, took_s, time.monotonic())
        name = self._name(pseudonym)
        if name is not None:
            with self._lock:
                self._pending[name, day_of(datetime.fromtimestamp(self._clock(), self.zone))] += count

    # for signals and the end

    def reload(self, timeout_s: float = 5.0) -> bool:
        """Write and read the file now; False when that took too long."""
        with self._look:
            self._asked += 1
            ticket = self._asked
            self._look.notify_all()
            return self._look.wait_for(lambda: self._done >= ticket, timeout_s)

    def close(self) -> None:
        """Write what is left and end."""
        with self._look:
            self._closing = True
            self._look.notify_all()
        self._thread.join(5.0)

    # what they do

    def _name(self, pseudonym: str) -> str | None:
        name = self._accounts.names.get(pseudonym)
        if name is None and self._accounts.probe != self._pseudonym(_PROBE):  # the key was rotated
            self._accounts = self._named(self._accounts.subscribers)
            name = self._accounts.names.get(pseudonym)
        return name

    def _named(self, subscribers: dict[str, Subscriber]) -> _Accounts:
        names = {self._pseudonym(f"user {name}"): name for name in subscribers}
        names.pop("", None)
        return _Accounts(subscribers, NetworkMap(subscribers.values()), names, self._pseudonym(_PROBE))

    def _run(self) -> None:
        while True:
            with self._look:
                self._look.wait_for(lambda: self._closing or self._asked > self._done, EVERY_S)
                ticket, closing = self._asked, self._closing
            try:
                self._write_use()
                self._read_accounts()
                self._said = False
            except Exception as error:  # a defect here must not end the thread, nor reach a flow
                if not self._said:
                    self._said = True
                    expected = isinstance(error, StoreError)
                    logger.error("subscribers: %s; going on with what is known", error, exc_info=not expected)
            with self._look:
                self._done = ticket
                self._look.notify_all()
            if closing:
                self._store.close()
                return

    def _write_use(self) -> None:
        with self._lock:
            counts = dict(self._pending)
        if counts:
            self._store.add_use(counts)
            with self._lock:
                self._pending.subtract(counts)
                self._pending += Counter()  # drops what is zero
                for (name, day), count in counts.items():
                    days = self._filed.setdefault(name, {})
                    days[day] = days.get(day, 0) + count
        if time.monotonic() >= self._read_all_after:
            self._read_all_after = time.monotonic() + READ_ALL_EVERY_S
            filed = self._store.use()
            with self._lock:
                self._filed = filed
        elif counts:  # what other processes added
            filed = self._store.use({name for name, _ in counts})
            with self._lock:
                self._filed.update(filed)

    def _read_accounts(self) -> None:
        generation = self._store.generation()
        if generation != self._generation:
            self._accounts = self._named(self._store.subscribers())
            self._generation = generation
            logger.info("subscribers: %d accounts read again", len(self._accounts.subscribers))
