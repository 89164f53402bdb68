"""One body on its way over the link as text: decoded and coded anew at the far end, decoded at the near end.

In: bytes of the body as they come. Out: what to send on, and for the accounts what the site's body weighed. Refuses:
what is not in its coding (`BadCoding`); a body that breaks off, which is never passed off as whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from proxy.link import coding
from proxy.link.coding import STEP_BYTES, BadCoding
from proxy.link.text import Recode, Restored

TRAILER_BYTES = 6


class FarText:
    """The far end's side. Digests of known bodies are over `plain` bytes, before `send`."""

    def __init__(self, recode: Recode, with_dictionary: bool) -> None:
        self.recode, self.with_dictionary = recode, with_dictionary
        self.site_bytes = 0
        self._decoder = coding.decoded(recode.coding)
        self._encoder: coding.Encoder | None = None
        self._unflushed = False

    def plain(self, data: bytes) -> Iterator[bytes]:
        """The plain bytes of a piece. Raises BadCoding."""
        self.site_bytes += len(data)
        return self._decoder.steps(data)

    def send(self, plain: bytes) -> bytes:
        """What of these bytes goes over the link now; `flush` gives the rest."""
        self._unflushed = self._unflushed or bool(plain)
        return self._coder.feed(plain)

    def flush(self) -> bytes:
        """So that everything until here can be read at the other end."""
        if not self._unflushed:
            return b""
        self._unflushed = False
        return self._coder.flush()

    def finish(self) -> bytes:
        """The end, with the size of the site's body behind it where its head did not say that."""
        told = b"" if self.recode.length_bytes is not None else self.site_bytes.to_bytes(TRAILER_BYTES, "big")
        return self._coder.finish() + told

    @property
    def _coder(self) -> coding.Encoder:
        if self._encoder is None:
            length = self.recode.length_bytes
            plain_bytes = 4 * length if length is not None and self.recode.coding else length
            self._encoder = coding.Encoder(self.with_dictionary, plain_bytes)
        return self._encoder


class NearText:
    """The near end's side: steps wait until the browser takes more."""

    def __init__(self, restored: Restored) -> None:
        self._decoder = coding.Decoder(restored.dictionary)
        self._told_bytes = restored.origin_bytes
        self._steps: deque[bytes] = deque()
        self.complete = False  # all of it came; some of it may wait

    def came(self, data: bytes) -> None:
        """Bytes of the link."""
        self._steps.extend(data[at : at + STEP_BYTES] for at in range(0, len(data), STEP_BYTES))

    @property
    def waits(self) -> bool:
        """Whether there are steps to take."""
        return bool(self._steps)

    def step(self) -> tuple[bytes, int]:
        """Plain bytes, and how many bytes of the link they were. Raises BadCoding."""
        data = self._steps.popleft()
        return self._decoder.feed(data), len(data)

    def origin_bytes(self) -> int:
        """What the site's body weighed, at the end of all. Raises BadCoding when that was not the end."""
        trailer = self._decoder.trailer
        if not self._decoder.ended or len(trailer) != (0 if self._told_bytes is not None else TRAILER_BYTES):
            raise BadCoding("a body that breaks off")
        return self._told_bytes if self._told_bytes is not None else int.from_bytes(trailer, "big")
