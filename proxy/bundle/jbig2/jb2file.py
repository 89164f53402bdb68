"""A bare payload in a .jb2 file of its own, for other programs: ITU-T T.88 (08/2018), Annex D.1 and clause 7.

In: what `region.encode` made, with its size, template and typical prediction. Out: a sequential file of one page.
Refuses: nothing; the payload is wrapped as it is.
"""

from __future__ import annotations

import struct

from proxy.bundle.jbig2.region import IMPLEMENTATION, Bitmap, encode

_FILE_HEADER = b"\x97JB2\r\n\x1a\n" + struct.pack(">BI", 1, 1)  # sequential, number of pages known: 1
_GENERIC_REGION, _PAGE_INFORMATION, _END_OF_PAGE, _END_OF_FILE = 38, 48, 49, 51  # 7.3
_END_MARKER = b"\xff\xac"  # E.2.9; the payload lacks it and the 1-bits before it, which any decoder infers

# The nominal places (x, y) of the adaptive pixels, 6.2.5.4.
_ADAPTIVE_PIXELS = (
    ((3, -1), (-3, -1), (2, -2), (-2, -2)),
    ((3, -1),),
    ((2, -1),),
    ((2, -1),),
)


def export(
    bitmap: Bitmap, template: int = 2, typical_prediction: bool = False, *, implementation: str = IMPLEMENTATION
) -> bytes:
    """Code `bitmap` (height, width), true is black, to a complete .jb2 file. Raises BundleError as `encode` does."""
    payload = encode(bitmap, template, typical_prediction, implementation=implementation)
    height_px, width_px = bitmap.shape
    return wrap(payload, width_px, height_px, template, typical_prediction)


def wrap(payload: bytes, width_px: int, height_px: int, template: int = 2, typical_prediction: bool = False) -> bytes:
    """Put a payload into a complete .jb2 file without coding it again: 98 bytes more, 104 with template 0."""
    page = struct.pack(">IIIIBH", width_px, height_px, 0, 0, 0, 0)  # 7.4.8: resolution unknown, white, not striped
    region = struct.pack(">IIIIB", width_px, height_px, 0, 0, 0)  # 7.4.1: at the page's origin, combined by OR
    flags = template << 1 | int(typical_prediction) << 3  # 7.4.6.2
    adaptive = b"".join(struct.pack(">bb", x, y) for x, y in _ADAPTIVE_PIXELS[template])
    return b"".join(
        (
            _FILE_HEADER,
            _segment(0, _PAGE_INFORMATION, 1, page),
            _segment(1, _GENERIC_REGION, 1, region + bytes([flags]) + adaptive + payload + _END_MARKER),
            _segment(2, _END_OF_PAGE, 1, b""),
            _segment(3, _END_OF_FILE, 0, b""),
        )
    )


def _segment(number: int, kind: int, page: int, data: bytes) -> bytes:  # 7.2: one that refers to no other
    return struct.pack(">IBBBI", number, kind, 0, page, len(data)) + data
