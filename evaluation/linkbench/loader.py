"""Loads a page as a browser does over HTTP/1.1, but draws nothing: the page, then its pictures, six at a time.

In: a way to the site, a page. Out: `Load`. Refuses: a page or a picture that does not come (`AssertionError`).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import aiohttp

from evaluation.linkbench.ways import Way

AT_ONCE = 6
FIELDS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36",
    "Accept-Encoding": "gzip, deflate",
    "Accept-Language": "en-US,en;q=0.9",
}


@dataclass(frozen=True, slots=True)
class Load:
    """One load of a page: seconds to its first byte, its first content on the screen (None when nothing is drawn) and
    its last picture; what crossed the thin link; processor time of both proxies.
    """

    ttfb_s: float
    fcp_s: float | None
    load_s: float
    wire_bytes: int
    picture_bytes: int
    cpu_s: float


async def load(way: Way, page: int, per_page: int) -> Load:
    """Load a page with nothing stored and nothing open."""
    before, cpu_s, began_s = way.wire.wire(), way.wire.cpu_s(), time.monotonic()
    picture_bytes = 0
    gate = asyncio.Semaphore(AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=900)
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(headers=FIELDS, timeout=timeout, connector=connector) as session:

        async def picture(n: int) -> int:
            address = f"{way.base}/pages/{page}/{n}.jpg"
            async with gate, session.get(address, proxy=way.proxy, headers={"Accept": "image/*,*/*;q=0.8"}) as answer:
                body = await answer.read()
                assert answer.status == 200 and len(body) > 100, f"{address}: {answer.status}"
                return len(body)

        address = f"{way.base}/pages/{page}/index.html"
        async with session.get(address, proxy=way.proxy, headers={"Accept": "text/html,*/*;q=0.8"}) as answer:
            ttfb_s = time.monotonic() - began_s
            assert answer.status == 200 and b"<figure>" in await answer.read(), f"{address}: {answer.status}"
        picture_bytes = sum(await asyncio.gather(*(picture(n) for n in range(per_page))))
    load_s = time.monotonic() - began_s
    crossed = way.wire.wire().total_bytes - before.total_bytes
    return Load(ttfb_s, None, load_s, crossed, picture_bytes, way.wire.cpu_s() - cpu_s)
