"""WebP without its RIFF header: 20 bytes that say nothing a bundle does not say already.

In: a simple WebP file (one VP8 or VP8L chunk), or the bare stream. Out: the bare stream, or a complete file.
Refuses: extended files (alpha, ICC, animation) and streams that don't start as VP8 or VP8L do (`BundleError`).

Source: RFC 9649 (container, VP8L header), RFC 6386 section 9.1 (VP8 key frame header).
"""

from __future__ import annotations

from proxy.bundle.errors import BundleError


def strip(file: bytes) -> tuple[bytes, bool]:
    """(bare stream, lossless?) of a simple WebP `file`. Raises BundleError."""
    if file[:4] != b"RIFF" or file[8:12] != b"WEBP" or file[12:16] not in (b"VP8 ", b"VP8L"):
        raise BundleError("not a simple WebP file")
    length = int.from_bytes(file[16:20], "little")
    stream = file[20 : 20 + length]
    if len(stream) != length:
        raise BundleError("the WebP file is cut short")
    return stream, file[12:16] == b"VP8L"


def wrap(stream: bytes, lossless: bool) -> bytes:
    """A complete WebP file around a bare stream."""
    padded = stream + b"\0" * (len(stream) & 1)
    chunk = (b"VP8L" if lossless else b"VP8 ") + len(stream).to_bytes(4, "little") + padded
    return b"RIFF" + (len(chunk) + 4).to_bytes(4, "little") + b"WEBP" + chunk


def size(stream: bytes, lossless: bool) -> tuple[int, int]:
    """(width, height) in pixels, as the stream's header declares them. Raises BundleError."""
    if lossless:
        if len(stream) < 5 or stream[0] != 0x2F:
            raise BundleError("not a VP8L stream")
        bits = int.from_bytes(stream[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(stream) < 10 or stream[0] & 1 or stream[3:6] != b"\x9d\x01\x2a":
        raise BundleError("not a VP8 key frame")
    return int.from_bytes(stream[6:8], "little") & 0x3FFF, int.from_bytes(stream[8:10], "little") & 0x3FFF
