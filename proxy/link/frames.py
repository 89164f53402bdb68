"""Attributes a stream of HTTP/2 bytes to its streams, by reading frame heads and nothing else.

In: bytes of one direction, in pieces of any size. Out: how many of them belong to which stream (0: the connection's
own). Refuses nothing; the preface counts as stream 0, and garbage counts as what its lengths say.
"""

from __future__ import annotations

HEAD_BYTES = 9
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class FrameTally:
    """A counter for one direction of one connection; `preface` when it starts with the client's preface."""

    def __init__(self, preface: bool) -> None:
        self._stream = 0
        self._left = len(PREFACE) if preface else 0
        self._head = bytearray()

    def feed(self, data: bytes) -> dict[int, int]:
        """Bytes by stream in `data`; a head that is split across calls counts where it ends."""
        counts: dict[int, int] = {}
        at, size = 0, len(data)
        while at < size:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                at += step
                counts[self._stream] = counts.get(self._stream, 0) + step
                continue
            step = min(HEAD_BYTES - len(self._head), size - at)
            self._head += data[at : at + step]
            at += step
            if len(self._head) == HEAD_BYTES:
                self._stream = int.from_bytes(self._head[5:9], "big") & 0x7FFF_FFFF
                self._left = int.from_bytes(self._head[:3], "big")
                self._head.clear()
                counts[self._stream] = counts.get(self._stream, 0) + HEAD_BYTES
        return counts
