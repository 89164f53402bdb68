"""Fetches the original of an image whose bundle could not be shown, through the upstream proxy and never around it.

In: the browser's request. Out: the answer as upstream gives it, and what it weighed on the link. Refuses: to follow
redirects, to decode, to trust any authority but upstream's, and bodies over the limit (`RefetchError`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from proxy.headers import Headers
from proxy.negotiation import ORIGINAL
from proxy.through import Through

MAX_BYTES = 64 * 1024 * 1024
_CONDITIONS = frozenset(("if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range"))
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
        self._through = Through(upstream, ca_file, max_bytes)

    async def fetch(self, url: str, request: Headers, deadline_s: float) -> Refetched:
        """The original that `url` names, asked for with the browser's own fields. Raises RefetchError."""
        whole = request.without(_CONDITIONS).adding((ORIGINAL, "1"))
        try:
            async with asyncio.timeout(deadline_s):
                came = await self._through.get(url, whole, self.authorization)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            raise RefetchError(f"{type(error).__name__}: {error}") from error
        return Refetched(came.status, came.headers.without(_CONNECTION), came.body, came.up_bytes + came.down_bytes)

    async def close(self) -> None:
        """Close all connections."""
        await self._through.close()
