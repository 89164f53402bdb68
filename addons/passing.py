"""Stream callables: what looks at a body while it passes, chunk by chunk, and never changes or delays it.

In: chunks as they come, the last one empty. Out: the same chunks; counts, and a bounded copy. Refuses nothing: past its
limit a copy is dropped and only the counting goes on.
"""

from __future__ import annotations


class Tally:
    """Counts the bytes that pass."""

    def __init__(self) -> None:
        self.size_bytes = 0

    def __call__(self, chunk: bytes) -> bytes:
        self.size_bytes += len(chunk)
        return chunk


class Tee(Tally):
    """Counts, and keeps a copy of the first `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        self._limit_bytes = limit_bytes
        self._copy = bytearray()

    def __call__(self, chunk: bytes) -> bytes:
        room = self._limit_bytes - len(self._copy)
        if room > 0:
            self._copy += chunk[:room]
        return super().__call__(chunk)

    def take(self) -> bytes:
        """The copy; it is kept no longer."""
        copy, self._copy = bytes(self._copy), bytearray()
        return copy
