"""Spares a body that the near end has already: it names the one it knows, the far end answers "the same".

In, near end: a request and its answer. Out: the digest to offer, and what may be remembered. In, far end: the offered
digest and body bytes as they come. Out: the bytes to send on, or that there is nothing to send. Refuses: to hold an
answer back that cannot be the same, that streams, or for longer than `HOLD_S`.

The far end asks the origin each time; only its body stays on that side when it is identical, so nothing stale is shown.
"""

from __future__ import annotations

import base64
import binascii
import re

from proxy.link.bodies import DIGEST_BYTES, MAX_BYTES, MIN_BYTES, digest
from proxy.link.heads import Ask

HAVE = b"~h"  # short, for they are literals on the link; no browser or site sees them
SAME = b"~s"
HOLD_S = 1.0
_HAVE = re.compile(rb"[A-Za-z0-9_-]{22}\.[0-9]{1,7}\Z")


def offer(known: bytes, size_bytes: int) -> tuple[bytes, bytes]:
    """The field by which the near end says which body it knows."""
    return HAVE, base64.urlsafe_b64encode(known).rstrip(b"=") + b".%d" % size_bytes


def parse_offer(value: bytes | None) -> tuple[bytes, int] | None:
    """Digest and size in the field; None when it is absent or malformed."""
    if value is None or not _HAVE.match(value):
        return None
    text, _, size = value.partition(b".")
    try:
        known = base64.urlsafe_b64decode(text + b"==")
    except (binascii.Error, ValueError):
        return None
    return (known, int(size)) if len(known) == DIGEST_BYTES else None


def may_offer(ask: Ask) -> bool:
    """Whether a known body could answer this request."""
    conditional = (b"range", b"if-none-match", b"if-modified-since", b"if-range")
    return ask.method == b"GET" and not any(name in conditional for name, _ in ask.headers)


def variant(ask: Ask) -> bytes:
    """What of a request makes another body of the same address likely."""
    return b"\0".join(ask.get(name) or b"" for name in (b"accept-encoding", b"accept", b"accept-language"))


def keeps(ask: Ask, status: int, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the near end may remember this answer's body at all."""
    control = _control(headers)
    length = next((value for name, value in headers if name == b"content-length"), b"")
    fits = not length or (length.isdigit() and MIN_BYTES <= int(length) <= MAX_BYTES)
    streams = any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
    return may_offer(ask) and status == 200 and fits and not streams and b"no-store" not in control


def is_public(ask: Ask, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether clients may share what is known of an answer: nothing in it or its request is personal."""
    control = _control(headers)
    personal = any(name in (b"cookie", b"authorization") for name, _ in ask.headers)
    personal = personal or any(name == b"set-cookie" for name, _ in headers)
    vary = b",".join(value.lower() for name, value in headers if name == b"vary")
    return not personal and b"private" not in control and b"cookie" not in vary and b"*" not in vary


class Holding:
    """The far end's side of one answer for which a digest was offered."""

    def __init__(self, known: bytes, size_bytes: int) -> None:
        self._known, self._size_bytes = known, size_bytes
        self._held = bytearray()

    @staticmethod
    def applies(size_bytes: int, status: int, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether the answer could be the body that was offered."""
        length = next((value for name, value in headers if name == b"content-length"), None)
        streams = any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
        same_size = length is None or length == b"%d" % size_bytes
        return status == 200 and same_size and not streams and size_bytes <= MAX_BYTES

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes of the body; returns what must be sent after all when it became too long, else None."""
        self._held += data
        return self.release() if len(self._held) > self._size_bytes else None

    def is_same(self) -> bool:
        """Whether the whole body, now that it is all here, is the one that was offered."""
        return len(self._held) == self._size_bytes and digest(bytes(self._held)) == self._known

    def release(self) -> bytes:
        """What was held back."""
        held, self._held = bytes(self._held), bytearray()
        return held


def _control(headers: list[tuple[bytes, bytes]]) -> frozenset[bytes]:
    values = (value for name, value in headers if name == b"cache-control")
    tokens = (token.strip().lower().partition(b"=")[0] for value in values for token in value.split(b","))
    return frozenset(tokens)
