"""The encoder's results, shared by several upstream proxies through Redis or Valkey.

In: what `EncodedCache` takes. Out: the same, from the local cache first, then from what another proxy made. Refuses: to
share what was made with words, the page's or a caption's, and what must not be stored: that stays with this proxy.

The first proxy that wants an image encodes it; the others wait for it, for at most `wait_s`, and then encode it
themselves. When the server is away, everything goes on with the local cache. An entry is magic, SHA-256 over its key
and the rest, the length of the head (4 bytes), the head as JSON, the body; whatever is not like that is removed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from pathlib import Path
from typing import Any

from proxy.config import UpstreamConfig
from proxy.encode import Declined, Encoded, EncodeRequest
from proxy.encoded_cache import KEY_BYTES, EncodedCache, parts_of, result_of
from proxy.shared.store import ByteStore, Lease

PREFIX = "sketchwire:encoded:1:"
MAGIC = b"SWE1"
Result = Encoded | Declined
FIRST_LOOK_S, LONGEST_LOOK_S = 0.02, 0.25
_ANYBODYS = b"\x01"  # after the digest, in keys of what may be shared; by their length they are told
_DIGEST_BYTES, _LENGTH_BYTES = 32, 4


class SharedEncodedCache(EncodedCache):
    """A local cache before `shared`. It belongs to one event loop."""

    def __init__(
        self,
        shared: ByteStore,
        wait_s: float,
        max_bytes: int = 32 * 1024 * 1024,
        file: Path | None = None,
        disk_bytes: int = 0,
    ) -> None:
        super().__init__(max_bytes, file, disk_bytes)
        self.shared = shared
        self._wait_s = wait_s
        self._leases: dict[bytes, tuple[Lease, float]] = {}  # what is encoded here, and until when others wait
        self._writing: set[asyncio.Task[None]] = set()

    def key(self, request: EncodeRequest, engine: str = "") -> bytes:
        """The digest of a request; it tells whether the result may be anybody's."""
        digest = super().key(request, engine)
        assert len(digest) == KEY_BYTES
        return digest + _ANYBODYS if request.words is None else digest

    async def find(self, key: bytes) -> Encoded | Declined | None:
        """The result kept under `key` here or there; None when it is for the caller to make, and `put`."""
        result = await super().find(key)
        if result is not None or not _is_anybodys(key):
            return result
        loop = asyncio.get_running_loop()
        until_s, pause_s = loop.time() + self._wait_s, FIRST_LOOK_S
        waited = False
        while not self._makes(key):
            result = await self._look(key)
            if result is not None:
                if waited:
                    self.shared.waited()
                return result
            lease = await asyncio.to_thread(self.shared.lock, key.hex())
            if lease is not None:
                return await self._first(key, lease)
            waited = True
            if loop.time() >= until_s:
                return None
            await asyncio.sleep(min(pause_s, max(0.0, until_s - loop.time())))
            pause_s = min(pause_s * 2, LONGEST_LOOK_S)
        return None

    def put(self, key: bytes, result: Encoded | Declined, lasting: bool = False) -> None:
        """Keep a result here and, where it is lasting and anybody's, for the other proxies."""
        super().put(key, result, lasting)
        lease, _ = self._leases.pop(key, (None, 0.0))
        shareable = lasting and _is_anybodys(key) and self.get(key) is not None
        if lease is None and not shareable:
            return
        task = asyncio.get_running_loop().create_task(self._share(key, result if shareable else None, lease))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        """Finish writing; others need not wait for what is not made any more."""
        leases, self._leases = list(self._leases.values()), {}
        for lease, _ in leases:
            await asyncio.to_thread(lease.release)
        await asyncio.gather(*self._writing, return_exceptions=True)
        self.shared.close()
        await super().close()

    def _makes(self, key: bytes) -> bool:
        """Whether this proxy has the image in hand."""
        held = self._leases.get(key)
        return held is not None and time.monotonic() < held[1]

    async def _first(self, key: bytes, lease: Lease) -> Encoded | Declined | None:
        """The lease is ours; the result may have been put between look and lock."""
        self._leases[key] = (lease, time.monotonic() + self.shared.lock_s)
        result = await self._look(key)
        if result is not None:
            self._leases.pop(key, None)
            await asyncio.to_thread(lease.release)
        return result

    async def _look(self, key: bytes) -> Encoded | Declined | None:
        found: Encoded | Declined | None = await asyncio.to_thread(self._ask, key)
        if found is not None:
            super().put(key, found, lasting=True)
        return found

    def _ask(self, key: bytes) -> Encoded | Declined | None:
        def read(data: bytes) -> Result | None:
            return parse(key, data)

        return self.shared.find(key.hex(), read)

    async def _share(self, key: bytes, result: Encoded | Declined | None, lease: Lease | None) -> None:
        if result is not None:
            await asyncio.to_thread(self.shared.keep, key.hex(), serialise(key, result))
        if lease is not None:
            await asyncio.to_thread(lease.release)


def connect(role: UpstreamConfig) -> ByteStore:
    """The server that upstream is configured with. Raises SharedUnusable."""
    longest_s = max(role.encode_deadline_s, role.encode_background_s) + 1.0  # that a search may take
    return ByteStore(role.shared_cache, PREFIX, role.shared_cache_ttl_s, role.shared_cache_entry_bytes, longest_s)


def _is_anybodys(key: bytes) -> bool:
    return len(key) > KEY_BYTES


def serialise(key: bytes, result: Encoded | Declined) -> bytes:
    """The entry of a result."""
    head, body = parts_of(result)
    told = json.dumps(head).encode()
    rest = len(told).to_bytes(_LENGTH_BYTES, "big") + told + body
    return MAGIC + hashlib.sha256(key + rest).digest() + rest


def parse(key: bytes, data: bytes) -> Encoded | Declined | None:
    """The result in an entry; None when it is not whole, or another's."""
    start = len(MAGIC) + _DIGEST_BYTES
    rest = data[start:]
    if not data.startswith(MAGIC) or data[len(MAGIC) : start] != hashlib.sha256(key + rest).digest():
        return None
    length = int.from_bytes(rest[:_LENGTH_BYTES], "big")
    try:
        head: Any = json.loads(rest[_LENGTH_BYTES : _LENGTH_BYTES + length])
        return result_of(head, rest[_LENGTH_BYTES + length :])
    except (ValueError, TypeError, KeyError):  # written by another version
        return None
