"""The local cache and the shared one, used together.

In: keys, each with whether its picture may be anybody's. Out: entries, from the disk first. Refuses: to send to the
shared cache, or to look for there, what was made with words: that stays on this machine's disk.

A picture that nobody has yet is drawn by the first that asks; others on other machines wait for it, for a while
(`Found`, `Draw`). A waiter never waits longer than its own time allows, and a runtime that vanishes holds them up
for no longer than the lock lives.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client_runtime.service.cache import Cache, Entry

if TYPE_CHECKING:  # redis is in an extra of its own
    from client_runtime.shared.store import Lease, SharedStore

FIRST_LOOK_S, LONGEST_LOOK_S = 0.02, 0.25


@dataclass(frozen=True, slots=True)
class Found:
    """Somebody made it before."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Draw:
    """It has to be drawn; call `done` afterwards, however it ended."""

    lease: Lease | None = None

    def done(self) -> None:
        """Others need not wait any longer. Never raises; may block for as long as the server's time limit."""
        if self.lease is not None:
            self.lease.release()


class Tiers:
    """`local` (None: nothing is kept here) before `shared` (None: there is no such server)."""

    def __init__(self, local: Cache | None, shared: SharedStore | None) -> None:
        self.local, self.shared = local, shared

    async def find(self, key: str, anybodys: bool, wait_s: float) -> Found | Draw:
        """What to do about `key`, after at most `wait_s` of waiting for another runtime that draws it already."""
        entry = await asyncio.to_thread(self._look, key, anybodys)
        if entry is not None:
            return Found(entry)
        shared = self.shared
        if shared is None or not anybodys:
            return Draw()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + min(wait_s, shared.lock_s)
        pause_s = FIRST_LOOK_S
        while (lease := await asyncio.to_thread(shared.lock, key)) is None:
            if loop.time() >= until_s:
                return Draw()
            await asyncio.sleep(min(pause_s, max(0.0, until_s - loop.time())))
            pause_s = min(pause_s * 2, LONGEST_LOOK_S)
            if (entry := await asyncio.to_thread(self._look, key, anybodys)) is not None:
                shared.waited()
                return Found(entry)
        entry = await asyncio.to_thread(self._look, key, anybodys)  # it may have been put between look and lock
        if entry is not None:
            await asyncio.to_thread(lease.release)
            return Found(entry)
        return Draw(lease)

    def put(self, key: str, entry: Entry, anybodys: bool) -> None:
        """Keep `entry` here and, if it may be anybody's, for the other runtimes."""
        if self.local is not None:
            self.local.put(key, entry)
        if self.shared is not None and anybodys:
            self.shared.put(key, entry)

    def close(self) -> None:
        """Close the connections."""
        if self.shared is not None:
            self.shared.close()

    def _look(self, key: str, anybodys: bool) -> Entry | None:
        entry = self.local.get(key) if self.local is not None else None
        if entry is None and self.shared is not None and anybodys:
            entry = self.shared.get(key)
            if entry is not None and self.local is not None:
                self.local.put(key, entry)
        return entry
