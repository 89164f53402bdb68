"""Remembers whose client refused our certificate for which host, so that it gets the host's own for a while.

In: refusals and acceptances of our certificate, by client and host; Unix time in seconds. Out: whether to leave a
client's connection to a host alone. Refuses: to remember for ever, or too much; the oldest go first.

A client that trusts our authority elsewhere and refuses it for one host has that host's certificate pinned: the host is
left alone for `pinned_s`. A client that never accepted a certificate of ours just lacks the authority: its hosts
are left alone for `untrusting_s`, and all of them get another chance once it accepts one.

Hosts and clients are kept as keyed digests only. The clock may jump: an entry never lasts longer than its time from the
moment it was made or loaded, and one that a jump ends early is learnt again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from proxy.tunnel.hosts import canonical

DAY_S = 86_400.0
_DIGEST_BYTES = 12
_WITHIN_S = 600.0  # refusals further apart are not counted together
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Terms:
    """How many refusals it takes, and how long a host is left alone then."""

    refusals: int = 2
    pinned_s: float = DAY_S
    untrusting_s: float = 600.0
    max_entries: int = 10_000


@dataclass(frozen=True, slots=True)
class _Entry:
    until_s: float
    client: str
    pinned: bool


class Refusals:
    """The entries in force, by digests made with the secret `key`."""

    def __init__(self, key: bytes, terms: Terms = Terms()) -> None:
        self._key = key
        self._terms = terms
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._trusting: OrderedDict[str, None] = OrderedDict()

    def refused(self, client: str, host: str, now_s: float) -> bool:
        """A client refused our certificate for a host. True when the host is left alone from now on."""
        name, who = self._name(client, host), self._client(client)
        count, last_s = self._counts.pop(name, (0, now_s))
        count = count + 1 if 0 <= now_s - last_s <= _WITHIN_S else 1
        if count < self._terms.refusals:
            self._counts[name] = (count, now_s)
            _shrink(self._counts, self._terms.max_entries)
            return False
        pinned = who in self._trusting
        lasts_s = self._terms.pinned_s if pinned else self._terms.untrusting_s
        self._entries.pop(name, None)
        self._entries[name] = _Entry(now_s + lasts_s, who, pinned)
        _shrink(self._entries, self._terms.max_entries)
        return True

    def accepted(self, client: str, host: str) -> bool:
        """A client accepted our certificate for a host. True when entries ended because of it."""
        who = self._client(client)
        self._counts.pop(self._name(client, host), None)
        if who in self._trusting:
            self._trusting.move_to_end(who)
            return False
        self._trusting[who] = None
        _shrink(self._trusting, self._terms.max_entries)
        ended = [name for name, entry in self._entries.items() if entry.client == who and not entry.pinned]
        for name in ended:
            del self._entries[name]
        return bool(ended)

    def left_alone(self, client: str, host: str, now_s: float) -> bool:
        """Whether the client's connection to the host is to pass untouched."""
        name = self._name(client, host)
        entry = self._entries.get(name)
        if entry is None:
            return False
        if not self._in_force(entry, now_s):
            del self._entries[name]
            return False
        return True

    def saved(self, now_s: float) -> dict[str, Any]:
        """What is in force and lasts for longer than minutes, for `load`."""
        lasting = {name: entry for name, entry in self._entries.items() if entry.pinned}
        entries = {n: [e.until_s, e.client] for n, e in lasting.items() if self._in_force(e, now_s)}
        return {"version": _VERSION, "pinned": entries}

    def load(self, saved: Mapping[str, Any], now_s: float) -> None:
        """Take over what `saved` gave; whatever is not written like that is left out."""
        pinned = saved.get("pinned")
        if saved.get("version") != _VERSION or not isinstance(pinned, dict):
            return
        for name, value in list(pinned.items())[-self._terms.max_entries :]:
            if not (isinstance(value, list) and len(value) == 2 and isinstance(value[1], str)):
                continue
            if not isinstance(value[0], int | float) or isinstance(value[0], bool) or len(name) != 2 * _DIGEST_BYTES:
                continue
            entry = _Entry(min(float(value[0]), now_s + self._terms.pinned_s), value[1], True)
            if entry.until_s > now_s:
                self._entries[name] = entry

    def _in_force(self, entry: _Entry, now_s: float) -> bool:
        lasts_s = self._terms.pinned_s if entry.pinned else self._terms.untrusting_s
        return 0 < entry.until_s - now_s <= lasts_s

    def _name(self, client: str, host: str) -> str:
        return self._digest(f"{client}\0{canonical(host)}", b"refusal")

    def _client(self, client: str) -> str:
        return self._digest(client, b"client")

    def _digest(self, text: str, what: bytes) -> str:
        data = text.encode("utf-8", "surrogateescape")
        return blake2b(data, key=self._key, digest_size=_DIGEST_BYTES, person=what).hexdigest()


def in_force(saved: Mapping[str, Any], now_s: float) -> list[float]:
    """Until when (Unix time) the hosts of a saved file are left alone, soonest first."""
    fresh = Refusals(b"", Terms())
    fresh.load(saved, now_s)
    return sorted(value[0] for value in fresh.saved(now_s)["pinned"].values())


def _shrink(kept: OrderedDict[str, Any], limit: int) -> None:
    while len(kept) > limit:
        kept.popitem(last=False)
