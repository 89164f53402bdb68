"""Visits the newspaper as a browser would: each page, then its images, in order.

In: the origin, and a proxy or none. Out: what came for each image, and how long it took. Refuses: nothing; a failed
request is a result, too.
"""

from __future__ import annotations

import io
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from PIL import Image

from proxy.demo.origin import Origin
from proxy.demo.site import DemoImage, DemoSite

TIMEOUT_S = 90.0
_BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0",
    "Accept-Language": "en",
}
_PAGE = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
}
_IMAGE = {
    "Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "Sec-Fetch-Dest": "image",
    "Sec-Fetch-Mode": "no-cors",
    "Sec-Fetch-Site": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a browser got for one image; `problem` says why it could not be shown, if it could not."""

    image: DemoImage
    body: bytes
    media_type: str
    elapsed_ms: float
    problem: str = ""


async def visit(
    origin: Origin, site: DemoSite, *, ca: Path | None, proxy: str | None = None, max_pages: int | None = None
) -> AsyncIterator[Delivered]:
    """Load pages over https one after the other and yield each image once, when it has come.

    `ca` is trusted besides the public CAs: the origin's without `proxy`, else the proxy's.
    """
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    resolver = None if proxy else _Fixed(origin)
    connector = aiohttp.TCPConnector(ssl=context, resolver=resolver)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=_BROWSER) as session:
        seen: set[str] = set()
        for page in site.pages[:max_pages]:
            url = origin.url(page.path)
            async with session.get(url, headers=_PAGE, proxy=proxy) as response:
                html = await response.text()
            here = [image for image in site.images if image.path in html and image.path not in seen]
            for image in sorted(here, key=lambda image: html.index(image.path)):
                seen.add(image.path)
                yield await _fetch(session, origin, image, url, proxy)


async def _fetch(
    session: aiohttp.ClientSession, origin: Origin, image: DemoImage, referer: str, proxy: str | None
) -> Delivered:
    started_s = time.perf_counter()
    try:
        headers = {**_IMAGE, "Referer": referer}
        async with session.get(origin.url(image.path), headers=headers, proxy=proxy) as response:
            body, status, media_type = await response.read(), response.status, response.content_type
    except (TimeoutError, aiohttp.ClientError) as error:
        return Delivered(image, b"", "", _since(started_s), f"{type(error).__name__}: {error}")
    return Delivered(image, body, media_type, _since(started_s), problem_of(image, status, media_type, body))


def problem_of(image: DemoImage, status: int, media_type: str, body: bytes) -> str:
    """Why a browser could not show this answer as that image; empty when it can."""
    if status != 200:
        return f"status {status}"
    if not media_type.startswith("image/"):
        return f"not an image but {media_type or 'nothing'}"
    try:
        with Image.open(io.BytesIO(body)) as opened:
            opened.load()
            size = opened.size
    except Exception as error:  # Pillow raises many kinds, and each of them is a broken image
        return f"cannot be decoded: {error}"
    if size != (image.width_px, image.height_px):
        return f"is {size[0]}×{size[1]}, not {image.width_px}×{image.height_px}"
    return ""


def _since(started_s: float) -> float:
    return (time.perf_counter() - started_s) * 1000


class _Fixed(aiohttp.abc.AbstractResolver):
    """Resolves the origin's name to this machine, and no other."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
        if host != self._origin.host:
            raise OSError(f"{host} is not part of the demonstration")
        address = self._origin.address
        return [{"hostname": host, "host": address, "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        return None
