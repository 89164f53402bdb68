"""Gives freed memory back to the system now and then, so that a proxy weighs after a day what it does after an hour.

In: time. Out: nothing. Refuses nothing.
"""

from __future__ import annotations

import asyncio

from proxy.shared.heap import trim

EVERY_S = 60.0


class Heap:
    """The addon; works in a thread, outside of flows."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._keep())

    def done(self) -> None:
        """The proxy ends."""
        if self._task is not None:
            self._task.cancel()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await asyncio.to_thread(trim)
