"""Validates a stored answer while its stale self is being shown (RFC 5861, section 3: stale-while-revalidate).

In: a request for an address, through the next proxy. Out: the answer's head and body, and what it weighed on the link.
Refuses: more than a few at a time, the same one twice at once, redirects, bodies over the limit (None).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from yarl import URL

from proxy.headers import Headers

logger = logging.getLogger("sketchwire.cache")

AT_ONCE = 4
DEADLINE_S = 30.0
_ONE_HOP = frozenset(
    (
        "connection",
        "content-length",
        "cookie",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    )
)


@dataclass(frozen=True, slots=True)
class Came:
    """An answer with its whole body; `up_bytes` and `down_bytes` are its messages as HTTP/1.1 text."""

    status: int
    headers: Headers
    body: bytes
    up_bytes: int
    down_bytes: int


class Background:
    """Asks `upstream` (a URL), believing in the authority of `ca_file` alone; `authorization` gives its token."""

    def __init__(
        self,
        upstream: str,
        ca_file: Path,
        max_bytes: int,
        authorization: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._upstream = upstream
        self._max_bytes = max_bytes
        self._authorization = authorization
        self._tls = ssl.create_default_context(cafile=str(ca_file))
        self._session: aiohttp.ClientSession | None = None
        self._tasks: dict[bytes, asyncio.Task[None]] = {}

    def start(self, key: bytes, url: str, request: Headers, done: Callable[[Came], None]) -> bool:
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
        if self._session is not None:
            await self._session.close()

    async def _run(self, url: str, request: Headers, done: Callable[[Came], None]) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                came = await self._ask(URL(url, encoded=True), request)
            if came is not None:
                done(came)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            logger.info("a stored answer could not be validated: %s", type(error).__name__)
        except Exception:
            logger.exception("defect while a stored answer was validated")

    async def _ask(self, url: URL, request: Headers) -> Came | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        cookies = "; ".join(request.get_all("cookie"))
        fields = request.without(_ONE_HOP).adding(*([("Cookie", cookies)] if cookies else []))
        token = self._authorization()
        shown = {"Proxy-Authorization": token} if token else {}
        tunnel = url.scheme == "https"  # there the request's own head goes to the origin
        asking = self._session.get(
            url,
            headers=[*fields, *(() if tunnel else shown.items())],
            proxy=self._upstream,
            proxy_headers=shown if tunnel else None,
            allow_redirects=False,
            ssl=self._tls if tunnel or self._upstream.startswith("https") else True,
        )
        async with asking as answer:
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > self._max_bytes:
                    return None
            headers = Headers.of((_text(name), _text(value)) for name, value in answer.raw_headers)
        up_bytes = len(f"GET {url} HTTP/1.1\r\n\r\n") + fields.size_bytes()
        down_bytes = len("HTTP/1.1 200 OK\r\n\r\n") + headers.size_bytes() + len(body)
        return Came(answer.status, headers, bytes(body), up_bytes, down_bytes)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
