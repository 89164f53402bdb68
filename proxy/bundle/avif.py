"""AVIF without its boxes: in a file of 800 bytes, 275 are ISOBMFF boxes that can be written again from four numbers.

In: an AVIF still image as libavif writes it, or the bare OBUs and the size. Out: the bare AV1 OBUs (temporal delimiter
dropped), or a complete AVIF file that every decoder reads. Refuses: files with alpha, grids, several items or extents
(`BundleError`), since the boxes could not be written again.

Source: ISO/IEC 14496-12 (boxes), AV1 Image File Format 1.1 (av1C, ispe, pixi), AV1 bitstream specification 5.3 and 5.5.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.bundle.errors import BundleError

_OBU_SEQUENCE_HEADER = 1
_OBU_TEMPORAL_DELIMITER = 2
# sRGB primaries and transfer, BT.601 matrix, full range: what proxy.encode always asks libavif for.
_NCLX = b"nclx" + bytes((0, 1, 0, 13, 0, 6, 0x80))


def strip(file: bytes) -> bytes:
    """The AV1 OBUs of a single-item AVIF `file`, without the temporal delimiter. Raises BundleError."""
    offset, length = _single_extent(_in_meta(file, b"iloc"))
    payload = file[offset : offset + length]
    if len(payload) != length:
        raise BundleError("the AVIF file is cut short")
    if payload[:2] == bytes((_OBU_TEMPORAL_DELIMITER << 3 | 2, 0)):
        payload = payload[2:]
    _sequence_header(payload)
    return payload


def properties(file: bytes) -> bytes:
    """The box of an AVIF `file` that says what its items are like: size, depth, coding, colours. Raises BundleError."""
    return _in_meta(file, b"iprp")


def size(obus: bytes) -> tuple[int, int]:
    """(width, height) in pixels, as the sequence header declares them. Raises BundleError."""
    return _sequence_header(obus).size


def wrap(obus: bytes, width_px: int, height_px: int) -> bytes:
    """A complete AVIF file around `obus`, for any AVIF decoder. Raises BundleError if they don't start a sequence."""
    sequence = _sequence_header(obus)
    channels = 1 if sequence.monochrome else 3
    av1c = bytes((0x81, sequence.profile << 5 | sequence.level, sequence.monochrome << 4 | sequence.subsampling, 0))
    ispe = _full_box(b"ispe", width_px.to_bytes(4, "big") + height_px.to_bytes(4, "big"))
    pixi = _full_box(b"pixi", bytes((channels,)) + bytes((8,)) * channels)
    ipco = _box(b"ipco", ispe + pixi + _box(b"av1C", av1c) + _box(b"colr", _NCLX))
    ipma = _full_box(b"ipma", b"\0\0\0\1\0\1\4\1\2\x83\4")
    infe = _full_box(b"infe", b"\0\1\0\0av01\0", version=2)
    head = b"".join(
        (
            _full_box(b"hdlr", b"\0\0\0\0pict" + bytes(13)),
            _full_box(b"pitm", b"\0\1"),
            _full_box(b"iinf", b"\0\1" + infe),
            _box(b"iprp", ipco + ipma),
        )
    )
    ftyp = _box(b"ftyp", b"avif\0\0\0\0avifmif1miaf")
    iloc_size = 8 + 4 + 18
    offset = len(ftyp) + 12 + len(head) + iloc_size + 8
    place = offset.to_bytes(4, "big") + len(obus).to_bytes(4, "big")
    iloc = _full_box(b"iloc", b"\x44\0\0\1\0\1\0\0\0\1" + place)
    return ftyp + _full_box(b"meta", head + iloc) + _box(b"mdat", obus)


def _in_meta(file: bytes, kind: bytes) -> bytes:
    """The content of a box in the meta box of an AVIF `file`."""
    top = dict(_boxes(file, 0, len(file)))
    if b"meta" not in top or b"mdat" not in top:
        raise BundleError("not an AVIF file: no meta or mdat box")
    inner = dict(_boxes(file, top[b"meta"][0] + 4, top[b"meta"][1]))
    if kind not in inner:
        raise BundleError(f"not an AVIF file: no {kind.decode()} box")
    return file[slice(*inner[kind])]


def _boxes(data: bytes, start: int, end: int) -> list[tuple[bytes, tuple[int, int]]]:
    """(type, (content start, content end)) of each box in data[start:end]."""
    found = []
    while start + 8 <= end:
        size = int.from_bytes(data[start : start + 4], "big")
        if size < 8 or start + size > end:
            raise BundleError("an AVIF box is longer than the file")
        found.append((data[start + 4 : start + 8], (start + 8, start + size)))
        start += size
    return found


def _single_extent(iloc: bytes) -> tuple[int, int]:
    """(offset, length) from a version-0 iloc with 4-byte fields, as libavif writes for one opaque image."""
    if len(iloc) != 22 or iloc[:8] != b"\0\0\0\0\x44\0\0\1" or iloc[12:14] != b"\0\1":
        raise BundleError("an AVIF file with alpha, a grid or several items has no bare form")
    return int.from_bytes(iloc[14:18], "big"), int.from_bytes(iloc[18:22], "big")


class _Sequence(NamedTuple):
    """What the boxes repeat of the AV1 sequence header; `subsampling` is x << 3 | y << 2 | chroma sample position."""

    size: tuple[int, int]
    profile: int
    level: int
    monochrome: int
    subsampling: int


def _sequence_header(obus: bytes) -> _Sequence:
    if len(obus) < 4 or obus[0] >> 3 & 15 != _OBU_SEQUENCE_HEADER or not obus[0] & 2 or obus[0] & 4:
        raise BundleError("the AV1 data does not start with a sequence header")
    size = obus[1]
    if size > 127 or len(obus) < 2 + size:
        raise BundleError("the AV1 sequence header is cut short")
    bits = _Bits(obus[2 : 2 + size])
    profile = bits.take(3)
    bits.take(1)  # still_picture
    if not bits.take(1):
        raise BundleError("the AV1 data is not a reduced still picture")
    level = bits.take(5)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    size_px = bits.take(width_bits) + 1, bits.take(height_bits) + 1
    bits.take(3)  # superblock size, filter intra, intra edge filter
    bits.take(3)  # superres, cdef, restoration
    if bits.take(1):
        raise BundleError("only 8-bit AV1 pictures are used in bundles")
    monochrome = 0 if profile == 1 else bits.take(1)
    color_primaries = transfer = matrix = 2
    if bits.take(1):
        color_primaries, transfer, matrix = bits.take(8), bits.take(8), bits.take(8)
    if monochrome:
        return _Sequence(size_px, profile, level, 1, 0b1100)
    if (color_primaries, transfer, matrix) == (1, 13, 0):
        return _Sequence(size_px, profile, level, 0, 0)
    bits.take(1)  # color_range
    if profile == 0:
        return _Sequence(size_px, profile, level, 0, 0b1100 | bits.take(2))
    return _Sequence(size_px, profile, level, 0, 0 if profile == 1 else 0b1000)


class _Bits:
    """Bits of a few bytes, most significant first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), len(data) * 8

    def take(self, count: int) -> int:
        if count > self._left:
            raise BundleError("the AV1 sequence header is cut short")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)


def _box(kind: bytes, content: bytes) -> bytes:
    return (len(content) + 8).to_bytes(4, "big") + kind + content


def _full_box(kind: bytes, content: bytes, version: int = 0) -> bytes:
    return _box(kind, bytes((version, 0, 0, 0)) + content)
