"""Fetches the original of an image whose bundle could not be shown, through the upstream proxy and never around it.

In: the browser's request. Out: the answer as upstream gives it, and what it weighed on the link. Refuses: to follow
redirects, to decode, to trust any authority but upstream's, and bodies over the limit (`RefetchError`).
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from yarl import URL

from proxy.headers import Headers
from proxy.negotiation import ORIGINAL

MAX_BYTES = 64 * 1024 * 1024
_HOP_BY_HOP = frozenset(
    (
        "connection",
        "content-length",
        "cookie",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "te",
        "transfer-encoding",
        "upgrade",
    )
)
_CONNECTION = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))


class RefetchError(Exception):
    """The original could not be had; the browser gets an error."""


@dataclass(frozen=True, slots=True)
class Refetched:
    """An answer with its whole body; `link_bytes` are the heads and the body as HTTP/1.1 text."""

    status: int
    headers: Headers
    body: bytes
    link_bytes: int


class Refetcher:
    """Asks `upstream` (a URL) for originals; https is verified with the authority in `ca_file` and nothing else.

    `authorization` is what upstream wants as Proxy-Authorization, if anything; it may be changed at any time.
    """

    def __init__(self, upstream: str, ca_file: Path | None, max_bytes: int = MAX_BYTES) -> None:
        self.authorization: str | None = None
        self._upstream = upstream
        self._max_bytes = max_bytes
        self._tls = ssl.create_default_context(cafile=str(ca_file)) if ca_file else None
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str, request: Headers, deadline_s: float) -> Refetched:
        """The original that `url` names, asked for with the browser's own fields. Raises RefetchError."""
        cookies = "; ".join(request.get_all("cookie"))  # HTTP/2 splits them, HTTP/1.1 has one field
        fields = [*request.without(_HOP_BY_HOP), *([("Cookie", cookies)] if cookies else []), (ORIGINAL, "1")]
        try:
            async with asyncio.timeout(deadline_s):
                return await self._fetch(URL(url, encoded=True), Headers.of(fields))
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            raise RefetchError(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _fetch(self, url: URL, fields: Headers) -> Refetched:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        secure = "https" in (url.scheme, URL(self._upstream).scheme)
        tls = self._tls if secure and self._tls is not None else True
        shown = {"Proxy-Authorization": self.authorization} if self.authorization else {}
        for_tunnel = url.scheme == "https"  # there the request's own head goes to the origin
        request = self._session.get(
            url,
            headers=[*fields, *(() if for_tunnel else shown.items())],
            proxy=self._upstream,
            proxy_headers=shown if for_tunnel else None,
            allow_redirects=False,
            ssl=tls,
        )
        async with request as answer:
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > self._max_bytes:
                    raise RefetchError(f"the original is over {self._max_bytes} bytes")
            headers = Headers.of((_text(name), _text(value)) for name, value in answer.raw_headers)
        lines = len(f"GET {url} HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
        link_bytes = lines + fields.size_bytes() + headers.size_bytes() + len(body)
        return Refetched(answer.status, headers.without(_CONNECTION), bytes(body), link_bytes)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
