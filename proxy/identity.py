"""Names for clients and for what they asked, that mean nothing outside this process.

In: addresses, URLs and credentials. Out: keyed digests; the key is random, lives in memory and ends with the process.
Refuses nothing.
"""

from __future__ import annotations

import secrets
from hashlib import blake2b

from proxy.headers import Headers

_PSEUDONYM_BYTES = 6
_KEY_BYTES = 16


class Identity:
    """The digests of one process."""

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(32)

    def pseudonym(self, address: str) -> str:
        """A client's name on the link, 12 hexadecimal digits: enough to keep page words apart, too little to trace."""
        return blake2b(address.encode(), key=self._secret, digest_size=_PSEUDONYM_BYTES, person=b"client").hexdigest()

    def key(self, client: str, url: str, request: Headers) -> bytes:
        """A key for what a client got from a URL with its credentials: people who share an address don't share keys."""
        cookies = "; ".join(request.get_all("cookie"))  # HTTP/2 splits them
        text = "\0".join([client, url, cookies, *request.get_all("authorization")]).encode("utf-8", "surrogateescape")
        return blake2b(text, key=self._secret, digest_size=_KEY_BYTES, person=b"answer").digest()
