"""Finished reconstructions in Redis or Valkey, for all runtimes that use the same one.

In: keys from `key_of` and finished image files. Out: the same files, until they expire or the server drops them to
stay within its `maxmemory`. Refuses: entries over the limit, and everything for a while after the server failed
(`None`, never an exception): whoever asks then draws, and keeps the picture on its own disk.

An entry is the file that `service.cache` writes, so that a damaged or foreign value is recognised by its digest. The
lock against stampedes is one key with a random owner and an expiry; only its owner removes it (redis-py's Lock).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import redis

from client_runtime.service.cache import Entry, parse, serialise

PREFIX = "sketchwire:1:"
CONNECT_TIMEOUT_S = 0.25
ANSWER_TIMEOUT_S = 0.5
AWAY_S = 5.0  # not asked again for so long after a failure

T = TypeVar("T")
_log = logging.getLogger("sketchwire.runtime.shared")


class SharedUnusable(ValueError):
    """The URL names no server that can be used; the message says what to write."""


@dataclass(frozen=True, slots=True)
class SharedState:
    """Counts since the start; `up` is whether the last question was answered."""

    up: bool
    hits: int
    misses: int
    written: int
    too_large: int
    damaged: int
    errors: int
    waited: int


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
        self._ttl_s, self._entry_bytes, self.lock_s, self._clock = ttl_s, entry_bytes, lock_s, clock
        try:
            self._redis: Any = redis.Redis.from_url(
                url,
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                socket_timeout=ANSWER_TIMEOUT_S,
                retry=None,
                health_check_interval=0,
            )
        except (ValueError, redis.RedisError) as error:
            raise SharedUnusable(f"shared_cache cannot be used: {error}; write redis://host:6379/0") from error
        self._guard = threading.Lock()
        self._away_until_s = float("-inf")
        self._counts: dict[str, int] = dict.fromkeys(
            ("hits", "misses", "written", "too_large", "damaged", "errors", "waited"), 0
        )

    @property
    def state(self) -> SharedState:
        """The counts now."""
        with self._guard:
            return SharedState(up=self._clock() >= self._away_until_s, **self._counts)

    def get(self, key: str) -> Entry | None:
        """The entry; None when there is none, none that is whole, or nobody to ask."""
        data = self._try(lambda server: server.get(PREFIX + key), None)
        if data is None:
            self._count("misses")
            return None
        entry = parse(key, bytes(data))
        if entry is None:
            _log.warning("a damaged entry was removed from the shared cache")
            self._count("damaged")
            self._try(lambda server: server.delete(PREFIX + key), None)
            return None
        self._count("hits")
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Keep `entry` for all, unless it is too large."""
        data = serialise(key, entry)
        if len(data) > self._entry_bytes:
            self._count("too_large")
            return
        if self._try(lambda server: bool(server.set(PREFIX + key, data, ex=self._ttl_s)), False):
            self._count("written")

    def lock(self, key: str) -> Lease | None:
        """The right to draw `key` while others wait; None when another has it. Without a server everybody has it."""
        held: Any = self._try(lambda server: _acquired(server, key, self.lock_s), _NOBODY)
        return Lease(self, None) if held is _NOBODY else Lease(self, held) if held is not None else None

    def waited(self) -> None:
        """A picture that another runtime drew was waited for."""
        self._count("waited")

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def _try(self, work: Callable[[Any], T], otherwise: T) -> T:
        """`work` with the server; `otherwise` while it is away."""
        if self._clock() < self._away_until_s:
            return otherwise
        try:
            return work(self._redis)
        except (redis.RedisError, OSError) as error:
            with self._guard:
                first = self._clock() >= self._away_until_s
                self._away_until_s = self._clock() + AWAY_S
                self._counts["errors"] += 1
            if first:
                _log.warning("the shared cache is away (%s); going on with the local one", type(error).__name__)
            return otherwise

    def _count(self, name: str) -> None:
        with self._guard:
            self._counts[name] += 1


_NOBODY = object()


class Lease:
    """The right to draw one picture; it ends by itself when its time is over."""

    def __init__(self, store: SharedStore, lock: Any) -> None:
        self._store, self._lock = store, lock

    def release(self) -> None:
        """Let the others look. Never raises."""
        lock, self._lock = self._lock, None
        if lock is not None:
            self._store._try(lambda server: _released(lock), None)


def _acquired(server: Any, key: str, lock_s: float) -> Any:
    lock = server.lock(f"{PREFIX}lock:{key}", timeout=lock_s, blocking=False, thread_local=False)
    return lock if lock.acquire(blocking=False) else None


def _released(lock: Any) -> None:
    try:
        lock.release()
    except redis.exceptions.LockError:  # its time was over, and another may have it
        return
