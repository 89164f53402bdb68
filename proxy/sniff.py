"""Tells an image's media type from its first bytes, whatever its name or headers claim.

In: the first bytes of a body (64 are enough for all but SVG), or a whole one. Out: a media type, or None; whether it
may move. Refuses nothing: what is not certainly an image is None.

Source: WHATWG MIME Sniffing, section 6.1; ISO/IEC 23008-12 (HEIF) and AV1 Image File Format brands; ISO/IEC 18181-2;
PNG, third edition (acTL); WebP Container Specification (VP8X).
"""

from __future__ import annotations

PREFIX_BYTES = 512

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\0\0\1\0", "image/x-icon"),
    (b"\xff\x0a", "image/jxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
)
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"))
_WEBP_ANIMATED = 0x02
_BEFORE_SVG = ((b"<?xml", b"?>"), (b"<!--", b"-->"), (b"<!DOCTYPE", b">"))


def sniff(prefix: bytes) -> str | None:
    """The media type that `prefix` (the first bytes of a body) starts like, or None."""
    for signature, media_type in _SIGNATURES:
        if prefix.startswith(signature):
            return media_type if media_type != "image/bmp" or _is_bmp(prefix) else None
    if prefix[:4] == b"RIFF" and prefix[8:12] == b"WEBP":
        return "image/webp"
    if prefix[4:8] == b"ftyp":
        return _isobmff(prefix)
    return "image/svg+xml" if _is_svg(prefix[:PREFIX_BYTES]) else None


def may_move(image: bytes) -> bool:
    """Whether an image file may be an animation: any GIF, and PNG and WebP that say so where they must."""
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"acTL" in image[: max(0, image.find(b"IDAT"))]
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return image[12:16] == b"VP8X" and bool(image[20:21]) and bool(image[20] & _WEBP_ANIMATED)
    return image.startswith((b"GIF87a", b"GIF89a"))


def _is_bmp(prefix: bytes) -> bool:
    """Two letters are too little to trust: the reserved field must be zero and the header's size one that exists."""
    return prefix[6:10] == b"\0\0\0\0" and int.from_bytes(prefix[14:18], "little") in (12, 16, 40, 52, 56, 64, 108, 124)


def _isobmff(prefix: bytes) -> str | None:
    """The still-image type of an ISO base media file, by its major and then its compatible brands."""
    size = min(int.from_bytes(prefix[:4], "big"), len(prefix))
    brands = [prefix[8:12], *(prefix[at : at + 4] for at in range(16, size - 3, 4))]
    for brand in brands:
        if brand in _AVIF_BRANDS:
            return "image/avif"
        if brand in _HEIC_BRANDS:
            return "image/heic"
    return None


def _is_svg(prefix: bytes) -> bool:
    """Whether `<svg` is the first element, after declarations and comments."""
    rest = prefix.removeprefix(b"\xef\xbb\xbf").lstrip()
    while rest:
        opened = next(((start, end) for start, end in _BEFORE_SVG if rest.startswith(start)), None)
        if opened is None:
            break
        _, found, rest = rest.partition(opened[1])
        rest = rest.lstrip() if found else b""
    return rest[:4].lower() == b"<svg" and rest[4:5] in b" >/\t\r\n"
