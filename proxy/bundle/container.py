"""Bundle version 1 on the wire: head, typed sections, checksum. Specified byte by byte in docs/bundle-format.md.

In: a `Bundle`, or bytes from the network. Out: bytes, or a `Bundle`; `unpack(pack(b)) == b`.
Refuses: anything truncated, over a limit (before allocating for it), out of order, repeated, not minimal or failing the
checksum (`BundleError`); later versions and unknown critical sections (`UnsupportedBundle`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import brotli

from proxy.bundle import avif, webp
from proxy.bundle.atlas import layout
from proxy.bundle.errors import BundleError, BundleTooLarge, UnsupportedBundle
from proxy.bundle.model import (
    MAX_PROMPT_CHARS,
    MAX_RECTANGLES,
    Bundle,
    Coding,
    Depicted,
    Edges,
    Picture,
    Prompt,
    Rectangle,
    Salient,
    SalientKind,
)

MEDIA_TYPE = "application/vnd.sketchwire.bundle"
MAGIC = b"\xf5SW"
VERSION = 1
HEAD_BYTES = 13
CHECKSUM_BYTES = 4

MAX_BUNDLE_BYTES = 2 * 1024 * 1024
MAX_SECTIONS = 32
MAX_PROMPT_BYTES = 4 * MAX_PROMPT_CHARS
MAX_PICTURE_PIXELS = 16_777_216

_CRITICAL = 0x80
PROMPT, EDGES, PALETTE, THUMBNAIL, SALIENT, DIGEST = 0x01, 0x02, 0x03, 0x04, _CRITICAL | 0x05, 0x07
SEGMENTATION, STYLE, NORMAL, KIND = 0x08, 0x09, 0x0A, 0x0B
SECTION_NAMES = {
    PROMPT: "prompt",
    EDGES: "edges",
    PALETTE: "palette",
    THUMBNAIL: "thumbnail",
    SALIENT: "salient",
    DIGEST: "digest",
    SEGMENTATION: "segmentation",
    STYLE: "style",
    NORMAL: "normal",
    KIND: "kind",
}
_PROMPT_PLAIN, _PROMPT_BROTLI, _PROMPT_PAGE = 0, 1, 2


def pack(bundle: Bundle) -> bytes:
    """The bundle's wire form. Raises BundleTooLarge when it would be over MAX_BUNDLE_BYTES."""
    sections: list[tuple[int, bytes]] = []
    if bundle.prompt is not None:
        sections.append((PROMPT, _pack_prompt(bundle.prompt)))
    if bundle.edges is not None:
        sections.append((EDGES, _pack_edges(bundle.edges)))
    if bundle.palette is not None:
        sections.append((PALETTE, _pack_picture(bundle.palette)))
    if bundle.thumbnail is not None:
        sections.append((THUMBNAIL, _pack_picture(bundle.thumbnail)))
    if bundle.original_sha256 is not None:
        sections.append((DIGEST, bundle.original_sha256))
    for kind, guide in ((SEGMENTATION, bundle.segmentation), (STYLE, bundle.style), (NORMAL, bundle.normal)):
        if guide is not None:
            sections.append((kind, _pack_picture(guide)))
    if bundle.kind is not None:
        sections.append((KIND, bytes((bundle.kind,))))
    if bundle.salient is not None:
        sections.append((SALIENT, _pack_salient(bundle.salient)))
    head = MAGIC + bytes((VERSION, 0)) + bundle.width_px.to_bytes(2, "big") + bundle.height_px.to_bytes(2, "big")
    body = head + bundle.seed.to_bytes(4, "big")
    body += b"".join(bytes((kind,)) + _varint(len(payload)) + payload for kind, payload in sections)
    if len(body) + CHECKSUM_BYTES > MAX_BUNDLE_BYTES:
        raise BundleTooLarge(f"a bundle of {len(body)} bytes; the limit is {MAX_BUNDLE_BYTES}")
    return body + zlib.crc32(body).to_bytes(4, "big")


def unpack(data: bytes) -> Bundle:
    """The bundle in `data`. Raises BundleError, BundleTooLarge or UnsupportedBundle; never anything else."""
    parsers: dict[int, tuple[str, Callable[[_Reader], object]]] = {
        PROMPT: ("prompt", _unpack_prompt),
        EDGES: ("edges", _unpack_edges),
        PALETTE: ("palette", _unpack_picture),
        THUMBNAIL: ("thumbnail", _unpack_picture),
        SALIENT: ("salient", _unpack_salient),
        DIGEST: ("original_sha256", lambda reader: reader.rest()),
        SEGMENTATION: ("segmentation", _unpack_picture),
        STYLE: ("style", _unpack_picture),
        NORMAL: ("normal", _unpack_picture),
        KIND: ("kind", _unpack_kind),
    }
    values: dict[str, object] = {}
    for kind, payload in sections(data):
        if kind in parsers:
            name, parse = parsers[kind]
            reader = _Reader(payload)
            values[name] = parse(reader)
            reader.expect_end()
        elif kind & _CRITICAL:
            raise UnsupportedBundle(f"unknown critical section 0x{kind:02x}: update this side")
    return Bundle(
        int.from_bytes(data[5:7], "big"),
        int.from_bytes(data[7:9], "big"),
        int.from_bytes(data[9:13], "big"),
        **values,  # type: ignore[arg-type]
    )


def sections(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, payload) of each section, after head and checksum were verified. Raises BundleError."""
    if len(data) > MAX_BUNDLE_BYTES:
        raise BundleTooLarge(f"a bundle of {len(data)} bytes; the limit is {MAX_BUNDLE_BYTES}")
    if data[:3] != MAGIC:
        raise BundleError("not a bundle: wrong magic bytes")
    if len(data) < HEAD_BYTES + CHECKSUM_BYTES:
        raise BundleError("the bundle is cut short")
    if data[3] != VERSION:
        raise UnsupportedBundle(f"bundle version {data[3]}; this side knows version {VERSION}")
    if data[4]:
        raise UnsupportedBundle(f"unknown bundle flags 0x{data[4]:02x}")
    if zlib.crc32(data[:-CHECKSUM_BYTES]) != int.from_bytes(data[-CHECKSUM_BYTES:], "big"):
        raise BundleError("the bundle is damaged: its checksum does not match")
    reader = _Reader(data[HEAD_BYTES:-CHECKSUM_BYTES])
    last, count = 0, 0
    while not reader.at_end():
        kind, count = reader.byte(), count + 1
        if kind <= last or kind == _CRITICAL:
            raise BundleError("sections must be in rising order of type, each once")
        if count > MAX_SECTIONS:
            raise BundleTooLarge(f"more than {MAX_SECTIONS} sections")
        last = kind
        yield kind, reader.take(reader.varint())


def describe(data: bytes) -> list[tuple[str, int]]:
    """(name, bytes on the wire) of each part of a bundle, head and checksum included; the bytes add up to len(data)."""
    parts = [("head", HEAD_BYTES)]
    for kind, payload in sections(data):
        name = SECTION_NAMES.get(kind, f"unknown 0x{kind:02x}")
        parts.append((name, 1 + len(_varint(len(payload))) + len(payload)))
    return [*parts, ("checksum", CHECKSUM_BYTES)]


class _Reader:
    """A cursor over bytes that never reads past the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise BundleError("a section is cut short")
        self._at += count
        return self._data[self._at - count : self._at]

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        """An unsigned LEB128 number of at most 3 bytes, in its shortest form."""
        value = 0
        for shift in (0, 7, 14):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift:
                    raise BundleError("a number is not in its shortest form")
                return value
        raise BundleTooLarge("a number is over 2^21")

    def expect_end(self) -> None:
        if not self.at_end():
            raise BundleError("a section has bytes left over")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    if len(out) > 3:
        raise BundleTooLarge("a number is over 2^21")
    return bytes(out)


def _pack_prompt(prompt: Prompt) -> bytes:
    if prompt.text is None:
        return bytes((_PROMPT_PAGE,))
    plain = prompt.text.encode("utf-8")
    packed: bytes = brotli.compress(plain, mode=brotli.MODE_TEXT, quality=11, lgwin=12)
    if len(packed) < len(plain):
        return bytes((_PROMPT_BROTLI,)) + packed
    return bytes((_PROMPT_PLAIN,)) + plain


def _unpack_prompt(reader: _Reader) -> Prompt:
    form, payload = reader.byte(), reader.rest()
    if form == _PROMPT_PAGE and not payload:
        return Prompt(None)
    if form == _PROMPT_BROTLI:
        payload = _brotli_bounded(payload)
    elif form != _PROMPT_PLAIN:
        raise BundleError(f"unknown form of prompt: {form}")
    if len(payload) > MAX_PROMPT_BYTES:
        raise BundleTooLarge("the prompt is too long")
    try:
        prompt = Prompt(payload.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BundleError("the prompt is not UTF-8") from error
    return prompt


def _brotli_bounded(data: bytes) -> bytes:
    """Decompress at most MAX_PROMPT_BYTES; bytes are fed one by one, so that a bomb stops at its first burst."""
    if len(data) > MAX_PROMPT_BYTES:
        raise BundleTooLarge("the prompt is too long")
    stream, out = brotli.Decompressor(), bytearray()
    try:
        for byte in data:
            if stream.is_finished():
                raise BundleError("bytes after the end of the prompt")
            out += stream.process(bytes((byte,)))
            if len(out) > MAX_PROMPT_BYTES:
                raise BundleTooLarge("the prompt is too long")
        if not stream.is_finished():
            raise BundleError("the prompt is cut short")
    except brotli.error as error:
        raise BundleError("the prompt is not valid brotli") from error
    return bytes(out)


def _unpack_kind(reader: _Reader) -> Depicted:
    try:
        return Depicted(reader.byte())
    except ValueError as error:
        raise BundleError("unknown kind of image") from error


def _pack_edges(edges: Edges) -> bytes:
    form = edges.template | int(edges.typical_prediction) << 2
    return bytes((form,)) + _varint(edges.width_px) + _varint(edges.height_px) + edges.payload


def _unpack_edges(reader: _Reader) -> Edges:
    form = reader.byte()
    if form > 7:
        raise BundleError(f"unknown form of edges: {form}")
    width_px, height_px = reader.varint(), reader.varint()
    _check_pixels(width_px, height_px)
    return Edges(width_px, height_px, form & 3, bool(form & 4), reader.rest())


def _pack_picture(picture: Picture) -> bytes:
    return bytes((picture.coding,)) + picture.payload


def _unpack_picture(reader: _Reader) -> Picture:
    form, payload = reader.byte(), reader.rest()
    try:
        coding = Coding(form)
    except ValueError as error:
        raise BundleError(f"unknown coding of a picture: {form}") from error
    width_px, height_px = picture_size(coding, payload)
    _check_pixels(width_px, height_px)
    return Picture(coding, width_px, height_px, payload)


def picture_size(coding: Coding, payload: bytes) -> tuple[int, int]:
    """(width, height) that a bare picture declares. Raises BundleError."""
    if coding is Coding.AVIF:
        return avif.size(payload)
    return webp.size(payload, lossless=coding is Coding.WEBP_LOSSLESS)


def _pack_salient(salient: Salient) -> bytes:
    out = bytes((salient.scale, len(salient.rectangles)))
    for r in salient.rectangles:
        out += bytes((r.kind,)) + b"".join(map(_varint, (r.x_px, r.y_px, r.width_px, r.height_px)))
    return out + _pack_picture(salient.atlas)


def _unpack_salient(reader: _Reader) -> Salient:
    scale, count = reader.byte(), reader.byte()
    if not 0 < count <= MAX_RECTANGLES:
        raise BundleError("a salient section without rectangles")
    rectangles = []
    for _ in range(count):
        try:
            kind = SalientKind(reader.byte())
        except ValueError as error:
            raise BundleError("unknown kind of rectangle") from error
        x_px, y_px, width_px, height_px = (reader.varint() for _ in range(4))
        _check_pixels(width_px, height_px)
        rectangles.append(Rectangle(x_px, y_px, width_px, height_px, kind))
    if sum(r.width_px * r.height_px for r in rectangles) > MAX_PICTURE_PIXELS:
        raise BundleTooLarge(f"rectangles of more than {MAX_PICTURE_PIXELS} px in all")
    salient = Salient(tuple(rectangles), scale, _unpack_picture(reader))
    plan = layout(salient.rectangles, scale)
    if (plan.width_px, plan.height_px) != (salient.atlas.width_px, salient.atlas.height_px):
        raise BundleError("the atlas has another size than its rectangles need")
    return salient


def _check_pixels(width_px: int, height_px: int) -> None:
    if width_px * height_px > MAX_PICTURE_PIXELS:
        raise BundleTooLarge(
            f"a picture of {width_px}×{height_px} px in a bundle; the limit is {MAX_PICTURE_PIXELS} px"
        )
