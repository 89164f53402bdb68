"""Values in Redis or Valkey, for all processes that use the same one.

In: keys and bytes. Out: the same bytes, until they expire or the server drops them to stay within its `maxmemory`.
Refuses: values over the limit, and everything for a while after the server failed (`None`, never an exception): whoever
asks then does without.

The lock against stampedes is one key with a random owner and an expiry; only its owner removes it (redis-py's Lock).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import redis

CONNECT_TIMEOUT_S = 0.25
ANSWER_TIMEOUT_S = 0.5
AWAY_S = 5.0  # not asked again for so long after a failure

T = TypeVar("T")
_log = logging.getLogger("sketchwire.shared")


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


class ByteStore:
    """A client of the server at `url` (redis://, rediss:// or unix://). Several threads may use it."""

    def __init__(
        self,
        url: str,
        prefix: str,
        ttl_s: int,
        entry_bytes: int,
        lock_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects on first use. Raises SharedUnusable for a URL that makes no sense."""
        self._prefix, self._ttl_s, self._entry_bytes, self._clock = prefix, ttl_s, entry_bytes, clock
        self.lock_s = lock_s
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

    def find(self, key: str, parse: Callable[[bytes], T]) -> T | None:
        """What `parse` makes of the value; None when there is none, none that it can read, or nobody to ask.

        A value that cannot be read is removed.
        """
        data = self._try(lambda server: server.get(self._prefix + key), None)
        if data is None:
            self._count("misses")
            return None
        found = parse(bytes(data))
        if found is None:
            _log.warning("a damaged entry was removed from the shared cache")
            self._count("damaged")
            self._try(lambda server: server.delete(self._prefix + key), None)
            return None
        self._count("hits")
        return found

    def keep(self, key: str, data: bytes) -> None:
        """Keep `data` for all, unless it is too large."""
        if len(data) > self._entry_bytes:
            self._count("too_large")
            return
        if self._try(lambda server: bool(server.set(self._prefix + key, data, ex=self._ttl_s)), False):
            self._count("written")

    def lock(self, key: str) -> Lease | None:
        """The right to make `key` while others wait; None when another has it. Without a server everybody has it."""
        name = f"{self._prefix}lock:{key}"
        held: Any = self._try(lambda server: _acquired(server, name, self.lock_s), _NOBODY)
        return Lease(self, None) if held is _NOBODY else Lease(self, held) if held is not None else None

    def waited(self) -> None:
        """What another process made was waited for."""
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
    """The right to make one thing; it ends by itself when its time is over."""

    def __init__(self, store: ByteStore, lock: Any) -> None:
        self._store, self._lock = store, lock

    def release(self) -> None:
        """Let the others look. Never raises."""
        lock, self._lock = self._lock, None
        if lock is not None:
            self._store._try(lambda server: _released(lock), None)


def _acquired(server: Any, name: str, lock_s: float) -> Any:
    lock = server.lock(name, timeout=lock_s, blocking=False, thread_local=False)
    return lock if lock.acquire(blocking=False) else None


def _released(lock: Any) -> None:
    try:
        lock.release()
    except redis.exceptions.LockError:  # its time was over, and another may have it
        return
