"""Finished reconstructions in Redis or Valkey, for all runtimes that use the same one.

In: keys from `key_of` and finished image files. Out: the same files, until they expire or the server drops them.
Refuses: what `proxy.shared.store` refuses: whoever asks then draws, and keeps the picture on its own disk.

An entry is the file that `service.cache` writes, so that a damaged or foreign value is recognised by its digest.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from client_runtime.service.cache import Entry, parse, serialise
from proxy.shared.store import AWAY_S, ByteStore, Lease, SharedState, SharedUnusable

PREFIX = "sketchwire:1:"


class SharedStore:
    """A client of the server at `url` (redis://, rediss:// or unix://). Several threads may use it."""

    def __init__(
        self,
        url: str,
        ttl_s: int,
        entry_bytes: int,
        lock_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects on first use. Raises SharedUnusable for a URL that makes no sense."""
        self._store = ByteStore(url, PREFIX, ttl_s, entry_bytes, lock_s, clock)
        self.lock_s = lock_s

    @property
    def state(self) -> SharedState:
        """The counts now."""
        return self._store.state

    def get(self, key: str) -> Entry | None:
        """The entry; None when there is none, none that is whole, or nobody to ask."""
        return self._store.find(key, lambda data: parse(key, data))

    def put(self, key: str, entry: Entry) -> None:
        """Keep `entry` for all, unless it is too large."""
        self._store.keep(key, serialise(key, entry))

    def lock(self, key: str) -> Lease | None:
        """The right to draw `key` while others wait; None when another has it. Without a server everybody has it."""
        return self._store.lock(key)

    def waited(self) -> None:
        """A picture that another runtime drew was waited for."""
        self._store.waited()

    def close(self) -> None:
        """Close all connections."""
        self._store.close()


__all__ = ["AWAY_S", "PREFIX", "Lease", "SharedState", "SharedStore", "SharedUnusable"]
