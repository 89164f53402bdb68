"""Validates a stored answer while its stale self is being shown (RFC 5861, section 3: stale-while-revalidate).

In: a request for an address, through the next proxy. Out: the answer, and what it weighed on the link. Refuses: more
than a few at a time, the same one twice at once, redirects, bodies over the limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import aiohttp

from proxy.headers import Headers
from proxy.through import Answer, Through

logger = logging.getLogger("sketchwire.cache")

AT_ONCE = 4
DEADLINE_S = 30.0


class Background:
    """Asks `upstream` (a URL), believing in the authority of `ca_file` alone; `authorization` gives its token."""

    def __init__(
        self,
        upstream: str,
        ca_file: Path,
        max_bytes: int,
        authorization: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._through = Through(upstream, ca_file, max_bytes)
        self._authorization = authorization
        self._tasks: dict[bytes, asyncio.Task[None]] = {}

    def start(self, key: bytes, url: str, request: Headers, done: Callable[[Answer], None]) -> bool:
        """Ask soon, and tell `done` what came; False when it is being asked already, or too much is."""
        if key in self._tasks or len(self._tasks) >= AT_ONCE:
            return False
        task = asyncio.get_running_loop().create_task(self._run(url, request, done))
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key, None))
        return True

    async def wait(self) -> None:
        """Wait for all that was started."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def close(self) -> None:
        """Give up what is under way."""
        for task in list(self._tasks.values()):
            task.cancel()
        await self._through.close()

    async def _run(self, url: str, request: Headers, done: Callable[[Answer], None]) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                came = await self._through.get(url, request, self._authorization())
            done(came)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            logger.info("a stored answer could not be validated: %s", type(error).__name__)
        except Exception:
            logger.exception("defect while a stored answer was validated")
