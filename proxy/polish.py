"""What is asked for again is worth a slower search: smaller files for the cache, made while nobody waits.

In: answers that were found in the cache, with the requests they are for. Out: smaller ones in their place. Refuses:
bundles (their search ends with the slower codec anyway), to begin while images are asked for or while it would take the
last free encoder, and to hold more than WAITING_BYTES of images that wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Protocol

from proxy.encode import Declined, Encoded, EncodeRequest
from proxy.encoded_cache import EncodedCache

logger = logging.getLogger("sketchwire.polish")

POLISHED_TYPE = "image/avif"
QUIET_S = 2.0  # since an image was asked for
WAITING_BYTES = 16 * 1024 * 1024
_FREE = 2  # encoders: one for this, one for who comes meanwhile


class Encoders(Protocol):
    """What encodes; proxy.encode.pool.EncoderPool is one."""

    @property
    def free(self) -> int:
        """How many images could be begun at once."""

    async def encode(self, request: EncodeRequest) -> Encoded | Declined:
        """The answer, or why there is none. Never raises."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    request: EncodeRequest
    made: Encoded
    lasting: bool


class Polisher:
    """Searches again for what `cache` holds, with `encoders`, once nothing was asked for in `quiet_s` seconds."""

    def __init__(self, encoders: Encoders, cache: EncodedCache, quiet_s: float = QUIET_S) -> None:
        self._encoders = encoders
        self._cache = cache
        self._quiet_s = quiet_s
        self._asked_s = time.monotonic()
        self._waiting: OrderedDict[bytes, _Wanted] = OrderedDict()
        self._bytes = 0
        self._working: asyncio.Task[None] | None = None
        self.saved_bytes = 0

    def asked(self) -> None:
        """An image is asked for: not now."""
        self._asked_s = time.monotonic()

    def found(self, key: bytes, request: EncodeRequest, made: Encoded, lasting: bool) -> None:
        """An answer is sent once more."""
        size_bytes = len(request.data)
        if made.polished or made.media_type != POLISHED_TYPE or key in self._waiting:
            return
        if self._bytes + size_bytes > WAITING_BYTES:
            return
        self._waiting[key] = _Wanted(request, made, lasting)
        self._bytes += size_bytes
        if self._working is None or self._working.done():
            self._working = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Give up what is under way."""
        if self._working is not None:
            self._working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._working

    async def _work(self) -> None:
        while self._waiting:
            wait_s = self._asked_s + self._quiet_s - time.monotonic()
            if wait_s > 0 or self._encoders.free < _FREE:
                await asyncio.sleep(max(wait_s, self._quiet_s / 4))
                continue
            key, wanted = self._waiting.popitem(last=False)
            self._bytes -= len(wanted.request.data)
            try:
                await self._polish(key, wanted)
            except Exception:
                logger.exception("defect while polishing; what was sent before stays")

    async def _polish(self, key: bytes, wanted: _Wanted) -> None:
        before = wanted.made
        made = await self._encoders.encode(replace(wanted.request, thorough=True))
        if not isinstance(made, Encoded) or made.media_type != before.media_type or len(made.body) >= len(before.body):
            made = before
        self.saved_bytes += len(before.body) - len(made.body)
        self._cache.put(key, replace(made, polished=True, stage_ms={}), wanted.lasting)
