"""Whether and when a URL may be asked for: robots.txt, the pace of each host, and no private networks.

In: URLs. Out: `Go` after the wait that the host's pace needs, or `Stay` with the reason. Refuses: what robots.txt
disallows for our name, hosts whose robots.txt cannot be read, and private addresses that the list of sites does not
name.

RFC 9309: a robots.txt that is missing (4xx) allows everything, one that cannot be reached (5xx, no answer) nothing;
its first 500 KiB count. Rules are read by `urllib.robotparser`; a Crawl-delay longer than ours is kept.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

import aiohttp

ROBOTS_BYTES = 500 * 1024
ROBOTS_TIMEOUT_S = 30.0
MAX_CRAWL_DELAY_S = 60.0


@dataclass(frozen=True, slots=True)
class Go:
    """The URL may be asked for now."""


@dataclass(frozen=True, slots=True)
class Stay:
    """The URL must not be asked for, or gave nothing; `why` goes into the record. `passing`: may differ next time."""

    why: str
    passing: bool = False


class Gate:
    """The rules and the pace of every host met in a run. `name` is what robots.txt files call us."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        name: str,
        delay_s: float,
        listed_hosts: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._session, self._name, self._delay_s, self._listed = session, name, delay_s, listed_hosts
        self._clock, self._sleep = clock, sleep
        self._robots: dict[str, asyncio.Task[RobotFileParser | Stay]] = {}
        self._next: dict[str, float] = {}

    async def admit(self, url: str, paced: bool = True) -> Go | Stay:
        """Wait for the host's turn; `paced` False only asks whether, not when."""
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            return Stay("not an http address")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return Stay("not an http address")
        if private := await self._private(parts.hostname, port):
            return private
        origin = f"{parts.scheme}://{parts.netloc}"
        rules = await self._rules(origin)
        if isinstance(rules, Stay):
            return rules
        if not rules.can_fetch(self._name, url):
            return Stay("robots.txt disallows it")
        if paced:
            await self._turn(parts.netloc, rules)
        return Go()

    async def _rules(self, origin: str) -> RobotFileParser | Stay:
        if origin not in self._robots:
            self._robots[origin] = asyncio.create_task(self._read(origin))
        return await asyncio.shield(self._robots[origin])

    async def _read(self, origin: str) -> RobotFileParser | Stay:
        rules = RobotFileParser()
        try:
            timeout = aiohttp.ClientTimeout(total=ROBOTS_TIMEOUT_S)
            async with self._session.get(f"{origin}/robots.txt", timeout=timeout, max_redirects=5) as answer:
                if answer.status >= 500 or answer.status == 429:
                    return Stay(f"robots.txt answers {answer.status}", passing=True)
                body = bytearray()
                if answer.status == 200:
                    async for piece in answer.content.iter_chunked(65536):
                        body += piece
                        if len(body) >= ROBOTS_BYTES:
                            break
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Stay(f"robots.txt cannot be reached: {type(error).__name__}", passing=True)
        rules.parse(bytes(body[:ROBOTS_BYTES]).decode("utf-8", "replace").splitlines())
        return rules

    async def _turn(self, host: str, rules: RobotFileParser) -> None:
        """The starts of two requests to one host are at least the delay apart, whoever makes them."""
        asked = float(rules.crawl_delay(self._name) or 0)
        now = self._clock()
        turn = max(now, self._next.get(host, now))
        self._next[host] = turn + max(self._delay_s, min(asked, MAX_CRAWL_DELAY_S))
        if turn > now:
            await self._sleep(turn - now)

    async def _private(self, host: str, port: int) -> Stay | None:
        if host in self._listed:
            return None
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port)
        except OSError:
            return Stay("its name has no address", passing=True)
        if all(ipaddress.ip_address(str(entry[4][0]).split("%")[0]).is_global for entry in found):
            return None
        return Stay("a private address")
