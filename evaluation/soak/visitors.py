"""People who browse: a page, everything on it, a pause, the next page.

In: a proxy, a site. Out: `Tally`: requests, what failed and why, bytes, times. Refuses: to count as seen what a browser
would show as broken: wrong statuses, answers that break off, images that don't open.
"""

from __future__ import annotations

import asyncio
import io
import random
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp
from PIL import Image

PAUSE_S = 0.3
TIMEOUT_S = 90.0
AT_ONCE = 6
IMAGE = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
_RASTER = frozenset(f"image/{name}" for name in ("jpeg", "png", "webp", "avif", "gif"))
_BROKEN = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


@dataclass(slots=True)
class Tally:
    """What all visitors saw."""

    requests: int = 0
    unchanged: int = 0  # answered with 304
    pages: int = 0
    size_bytes: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """Requests that failed."""
        return sum(self.failed.values())


class _Resources(HTMLParser):
    """What a page needs: pairs of a URL and whether it is an image."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Collect images, scripts and styles."""
        given = dict(attrs)
        if tag == "img" and given.get("src"):
            self.found.append((given["src"] or "", True))
        if tag == "script" and given.get("src"):
            self.found.append((given["src"] or "", False))
        if tag == "link" and given.get("href") and "stylesheet" in (given.get("rel") or ""):
            self.found.append((given["href"] or "", False))


class Visitor:
    """One person, with a cache like a browser's. `root` is the site's folder: links to nothing are not followed."""

    def __init__(self, base: str, pages: Sequence[str], root: Path, proxy: str, tally: Tally, seed: int) -> None:
        self._base, self._pages, self._root, self._proxy, self._tally = base, pages, root, proxy, tally
        self._dice = random.Random(seed)
        self._tags: dict[str, str] = {}

    async def browse(self, until_s: float, trust: ssl.SSLContext) -> None:
        """Visit pages until a time of the monotonic clock."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        connector = aiohttp.TCPConnector(ssl=trust, limit=AT_ONCE)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while time.monotonic() < until_s:
                await self._visit(session, self._dice.choice(self._pages))
                await asyncio.sleep(PAUSE_S * self._dice.uniform(0.5, 1.5))

    async def _visit(self, session: aiohttp.ClientSession, page: str) -> None:
        self._tally.pages += 1
        body = await self._get(session, self._base + page, PAGE, keep=False)
        parser = _Resources()
        parser.feed(body.decode("utf-8", "replace"))
        wanted = {urljoin(self._base + page, url): is_image for url, is_image in parser.found}
        here = [(url, is_image) for url, is_image in wanted.items() if self._exists(url)]
        await asyncio.gather(*(self._get(session, url, IMAGE if is_image else "*/*") for url, is_image in here))

    def _exists(self, url: str) -> bool:
        return url.startswith(self._base) and (self._root / urlsplit(url).path.lstrip("/")).is_file()

    async def _get(self, session: aiohttp.ClientSession, url: str, accept: str, keep: bool = True) -> bytes:
        fields = {"Accept": accept}
        if keep and url in self._tags and self._dice.random() < 0.5:
            fields["If-None-Match"] = self._tags[url]
        self._tally.requests += 1
        began_s = time.monotonic()
        try:
            async with session.get(url, headers=fields, proxy=self._proxy) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, OSError) as error:  # a timeout is an OSError
            self._tally.failed[type(error).__name__] += 1
            return b""
        self._tally.seconds.append(time.monotonic() - began_s)
        self._tally.size_bytes += len(body)
        problem = _problem(answer, body, "If-None-Match" in fields)
        if problem:
            self._tally.failed[problem] += 1
            return b""
        if answer.status == 304:
            self._tally.unchanged += 1
        elif "ETag" in answer.headers:
            self._tags[url] = answer.headers["ETag"]
        return body


def _problem(answer: aiohttp.ClientResponse, body: bytes, conditional: bool) -> str:
    if answer.status == 304 and conditional:
        return ""
    if answer.status != 200:
        return f"status {answer.status}"
    if answer.content_type in _RASTER:
        try:
            with Image.open(io.BytesIO(body)) as image:
                image.verify()
        except _BROKEN as error:
            return f"image does not open: {type(error).__name__}"
    return ""
