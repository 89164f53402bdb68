"""Names of stored answers: digests that keep people, originals and addresses apart, and tell nobody any of them.

In: an address, who asks, with which credentials, whether for the original. Out: keys for what all may share and for
what only the same credentials open, and a place that all answers of an address have. Refuses nothing.

Source: RFC 9111, section 2 (primary key), section 7 (what a cache may give away).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from proxy.headers import Headers

KEY_BYTES = 20


@dataclass(frozen=True, slots=True)
class Keys:
    """`common` finds answers that do not depend on credentials, `personal` those that may; `place` forgets both."""

    common: bytes
    personal: bytes | None
    place: bytes


class KeyMaker:
    """`secret` makes the digests useless elsewhere. A `shared` cache has no personal keys and knows no clients."""

    def __init__(self, secret: bytes, shared: bool) -> None:
        self._secret = secret[:64]
        self._shared = shared

    def keys(self, url: str, client: str, request: Headers, original: bool) -> Keys:
        """The keys of a request for `url`, asked by `client`, for the `original` or for whatever is best."""
        kind = "original" if original else ""
        if self._shared:
            return Keys(self._digest(b"common", url, kind), None, self.place(url))
        common = self._digest(b"common", url, kind, client)
        cookies = "; ".join(request.get_all("cookie"))  # HTTP/2 splits them
        personal = self._digest(b"personal", url, kind, client, cookies, *request.get_all("authorization"))
        return Keys(common, personal, self.place(url))

    def place(self, url: str) -> bytes:
        """The digest of an address alone."""
        return self._digest(b"place", url)

    def _digest(self, purpose: bytes, *parts: str) -> bytes:
        text = "\0".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogateescape")
        return blake2b(text, key=self._secret, digest_size=KEY_BYTES, person=purpose).digest()
