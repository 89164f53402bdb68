"""One polite GET.

In: a URL and the most bytes that are read. Out: `Fetched`, or a `Stay` with the reason. Refuses: what the gate refuses
(asked again at every redirect), other answers than 200, bodies over the limit, more than 5 redirects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from evaluation.collect.gate import Gate, Stay
from proxy.pages import canonical_url

MAX_REDIRECTS = 5
TIMEOUT_S = 60.0
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete answer: `url` is where it came from in the end, header names are in lower case."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Fetcher:
    """GETs through a gate."""

    def __init__(self, session: aiohttp.ClientSession, gate: Gate, timeout_s: float = TIMEOUT_S) -> None:
        self._session, self._gate, self._timeout_s = session, gate, timeout_s

    async def get(self, url: str, accept: str, limit_bytes: int) -> Fetched | Stay:
        """The body of `url`, decoded from its transfer, at most `limit_bytes`."""
        for _ in range(MAX_REDIRECTS + 1):
            admitted = await self._gate.admit(url)
            if isinstance(admitted, Stay):
                return admitted
            try:
                found = await self._once(url, accept, limit_bytes)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                return Stay(f"no answer: {type(error).__name__}", passing=True)
            if not isinstance(found, str):
                return found
            target = canonical_url(found, url)
            if target is None:
                return Stay("redirects to no http address")
            url = target
        return Stay("too many redirects")

    async def _once(self, url: str, accept: str, limit_bytes: int) -> Fetched | Stay | str:
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        headers = {"Accept": accept}
        async with self._session.get(url, headers=headers, allow_redirects=False, timeout=timeout) as answer:
            if answer.status in _REDIRECTS and (target := answer.headers.get("Location")):
                return target
            if answer.status != 200:
                return Stay(f"answers {answer.status}", passing=answer.status in _PASSING)
            body = bytearray()
            async for piece in answer.content.iter_chunked(65536):
                body += piece
                if len(body) > limit_bytes:
                    return Stay(f"over {limit_bytes} bytes")
            return Fetched(str(answer.url), {k.lower(): v for k, v in answer.headers.items()}, bytes(body))
