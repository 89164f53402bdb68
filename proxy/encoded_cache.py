"""Remembers what the encoder made of an image, so that popular images pay once.

In: encoding requests and their results. Out: the same result for the same bytes on the same terms, whoever asks.
Refuses: results that say nothing about the image (deadline, queue, crash), and to grow over its limit.

The key is a digest of the content and of every term of the request, the page's words among them: a bundle that holds
one person's page text is only found by who sends the same text.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import fields
from hashlib import blake2b

from proxy.encode import Declined, Encoded, EncodeRequest
from proxy.policy import Reason

_LASTING = frozenset(
    (
        Reason.TOO_SMALL,
        Reason.TOO_MANY_PIXELS,
        Reason.ANIMATED,
        Reason.ALPHA,
        Reason.BROKEN,
        Reason.UNSUPPORTED_FORMAT,
        Reason.KIND,
        Reason.NO_GAIN,
    )
)
_ENTRY_BYTES = 1024  # what an entry weighs besides its body


class EncodedCache:
    """At most `max_bytes` of results, in memory."""

    def __init__(self, max_bytes: int = 32 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._results: OrderedDict[bytes, Encoded | Declined] = OrderedDict()
        self.size_bytes = 0

    def key(self, request: EncodeRequest) -> bytes:
        """The digest of a request: content and terms."""
        terms = [(f.name, getattr(request, f.name)) for f in fields(request) if f.name != "data"]
        return blake2b(request.data, key=blake2b(repr(terms).encode()).digest(), digest_size=16).digest()

    def get(self, key: bytes) -> Encoded | Declined | None:
        """The result kept under `key`, or None."""
        result = self._results.get(key)
        if result is not None:
            self._results.move_to_end(key)
        return result

    def put(self, key: bytes, result: Encoded | Declined) -> None:
        """Keep a result that would be the same next time."""
        if isinstance(result, Declined) and result.reason not in _LASTING:
            return
        before = self._results.pop(key, None)
        if before is not None:
            self.size_bytes -= _size_bytes(before)
        self._results[key] = result
        self.size_bytes += _size_bytes(result)
        while self.size_bytes > self._max_bytes:
            _, oldest = self._results.popitem(last=False)
            self.size_bytes -= _size_bytes(oldest)


def _size_bytes(result: Encoded | Declined) -> int:
    return _ENTRY_BYTES + (len(result.body) if isinstance(result, Encoded) else 0)
