"""A bounded store of bodies that crossed the link, found by the address they came from and told apart by digest.

In: an address, who asked, whether the answer may be shared, a whole body. Out: the body last seen there. Refuses:
bodies that are too small to be worth a digest or too large to hold, and one client's private answers for another.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

DIGEST_BYTES = 16
MIN_BYTES = 200
MAX_BYTES = 1024 * 1024


def digest(body: bytes) -> bytes:
    """The name of a body: half of its SHA-256."""
    return hashlib.sha256(body).digest()[:DIGEST_BYTES]


@dataclass(frozen=True, slots=True)
class Known:
    """A body that both ends have seen."""

    digest: bytes
    body: bytes


class Bodies:
    """The near end's store, the least recently used go first. A body is held once, however many addresses have it."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        self._bodies: OrderedDict[bytes, bytes] = OrderedDict()
        self._places: OrderedDict[bytes, bytes] = OrderedDict()

    def find(self, url: bytes, variant: bytes, client: str) -> Known | None:
        """What came from `url` for this client, or for all when it was public; `variant` is what Vary depends on."""
        for who in (client, ""):
            name = self._places.get(_place(url, variant, who))
            body = self._bodies.get(name) if name else None
            if name is not None and body is not None:
                self._bodies.move_to_end(name)
                return Known(name, body)
        return None

    def put(self, url: bytes, variant: bytes, client: str, body: bytes) -> None:
        """Remember a body; `client` is empty for a public one."""
        if not MIN_BYTES <= len(body) <= min(MAX_BYTES, self._capacity_bytes):
            return
        name = digest(body)
        if name not in self._bodies:
            self._bodies[name] = body
            self._held_bytes += len(body)
        self._bodies.move_to_end(name)
        place = _place(url, variant, client)
        self._places[place] = name
        self._places.move_to_end(place)
        while self._held_bytes > self._capacity_bytes:
            self._held_bytes -= len(self._bodies.popitem(last=False)[1])
        while len(self._places) > 4 * len(self._bodies) + 1024:
            self._places.popitem(last=False)

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies in memory."""
        return self._held_bytes


def _place(url: bytes, variant: bytes, client: str) -> bytes:
    key = hashlib.sha256()
    for part in (client.encode(), variant, url):
        key.update(len(part).to_bytes(4, "big") + part)
    return key.digest()[:16]
