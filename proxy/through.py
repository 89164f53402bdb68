"""Requests of a proxy's own, through the next proxy and never around it.

In: a URL and a request's fields. Out: the answer as it came, with its whole body, and what both messages weigh.
Refuses: to follow redirects, to decode, to keep cookies, to trust any authority but the one it was given; bodies over
the limit (`TooLarge`), besides what aiohttp refuses (`aiohttp.ClientError`, `OSError`, `ValueError`).
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from yarl import URL

from proxy.headers import Headers

_REPLACED = frozenset(  # what this side says itself, or joins
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


class TooLarge(ValueError):
    """The body is over the limit."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its whole body; `up_bytes` and `down_bytes` are the two messages as HTTP/1.1 text."""

    status: int
    headers: Headers
    body: bytes
    up_bytes: int
    down_bytes: int


class Through:
    """Asks `upstream` (a URL) for things; https is verified with the authority in `ca_file`, or with the system's."""

    def __init__(self, upstream: str, ca_file: Path | None, max_bytes: int) -> None:
        self._upstream = upstream
        self._max_bytes = max_bytes
        self._tls: ssl.SSLContext | bool = ssl.create_default_context(cafile=str(ca_file)) if ca_file else True
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, request: Headers, authorization: str | None) -> Answer:
        """The answer to a GET with a browser's fields; upstream may want `authorization` as Proxy-Authorization."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        address = URL(url, encoded=True)
        cookies = "; ".join(request.get_all("cookie"))  # HTTP/2 splits them, HTTP/1.1 has one field
        fields = request.without(_REPLACED).adding(*([("Cookie", cookies)] if cookies else []))
        shown = {"Proxy-Authorization": authorization} if authorization else {}
        tunnel = address.scheme == "https"  # there the request's own head goes to the origin
        asking = self._session.get(
            address,
            headers=[*fields, *(() if tunnel else shown.items())],
            proxy=self._upstream,
            proxy_headers=shown if tunnel else None,
            allow_redirects=False,
            ssl=self._tls if tunnel or URL(self._upstream).scheme == "https" else True,
        )
        async with asking as answer:
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > self._max_bytes:
                    raise TooLarge(f"the answer is over {self._max_bytes} bytes")
            headers = Headers.of((_text(name), _text(value)) for name, value in answer.raw_headers)
        up_bytes = len(f"GET {address} HTTP/1.1\r\n\r\n") + fields.size_bytes()
        down_bytes = len("HTTP/1.1 200 OK\r\n\r\n") + headers.size_bytes() + len(body)
        return Answer(answer.status, headers, bytes(body), up_bytes, down_bytes)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
