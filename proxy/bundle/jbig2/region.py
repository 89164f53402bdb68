"""Bitmaps to the bare data of a JBIG2 generic region and back, by the compiled coder or the Python one.

In: a bilevel bitmap, or a payload and the size of its bitmap. Out: the payload (no headers, no size, no end marker), or
the bitmap. Refuses: sizes that no bundle has, more pixels than the caller allows and templates that do not exist
(`BundleError`), all before anything is allocated; a payload is never refused, the worst are wrong pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from proxy.bundle.errors import BundleError, BundleTooLarge
from proxy.bundle.jbig2 import python

Bitmap = npt.NDArray[np.bool_]

MAX_SIDE_PX = python.MAX_SIDE_PX
MAX_PIXELS = 16_777_216


class Coder(Protocol):
    """What an implementation offers; all make the same bytes."""

    def encode_region(
        self, pixels: bytes, width_px: int, height_px: int, template: int, typical_prediction: bool, /
    ) -> bytes: ...

    def decode_region(
        self, payload: bytes, width_px: int, height_px: int, template: int, typical_prediction: bool, /
    ) -> bytearray: ...

    def encode_decisions(self, decisions: bytes, /) -> bytes: ...

    def decode_decisions(self, payload: bytes, count: int, /) -> bytearray: ...


def _coders() -> dict[str, Coder]:
    try:
        from proxy.bundle.jbig2 import _mq
    except ImportError:  # installed where there was no C compiler
        return {"python": python}
    return {"c": _mq, "python": python}


CODERS: Mapping[str, Coder] = _coders()
IMPLEMENTATION = next(iter(CODERS))  # "c" where it was built, else "python"


def encode(
    bitmap: Bitmap, template: int = 2, typical_prediction: bool = False, *, implementation: str = IMPLEMENTATION
) -> bytes:
    """Code `bitmap` (height, width), true is black, with the context template 0 to 3 of ITU-T T.88, 6.2.5.3.

    `typical_prediction` (6.2.5.7) codes a row that repeats the one above in a fraction of a bit, and costs a little in
    other rows.
    Raises BundleError for an empty or oversized bitmap or an unknown template.
    """
    if bitmap.ndim != 2:
        raise BundleError(f"a bitmap has two dimensions, this one has {bitmap.ndim}")
    height_px, width_px = bitmap.shape
    _check(width_px, height_px, template)
    pixels = np.ascontiguousarray(bitmap, dtype=np.bool_)
    return CODERS[implementation].encode_region(pixels.tobytes(), width_px, height_px, template, typical_prediction)


def decode(
    payload: bytes,
    width_px: int,
    height_px: int,
    template: int = 2,
    typical_prediction: bool = False,
    *,
    max_pixels: int = MAX_PIXELS,
    implementation: str = IMPLEMENTATION,
) -> Bitmap:
    """Decode what `encode` made with the same arguments, to a writable bitmap (height_px, width_px), true is black.

    Any payload is some bitmap: integrity is the container's business. Raises BundleTooLarge over `max_pixels`,
    BundleError for impossible sides or an unknown template.
    """
    _check(width_px, height_px, template)
    if width_px * height_px > max_pixels:
        raise BundleTooLarge(f"a bitmap of {width_px}×{height_px} is over the limit of {max_pixels} pixels")
    pixels = CODERS[implementation].decode_region(payload, width_px, height_px, template, typical_prediction)
    return np.frombuffer(pixels, np.bool_).reshape(height_px, width_px)


def _check(width_px: int, height_px: int, template: int) -> None:
    if not (1 <= width_px <= MAX_SIDE_PX and 1 <= height_px <= MAX_SIDE_PX):
        raise BundleError(f"a bitmap has sides of 1 to {MAX_SIDE_PX} px, this one is {width_px}×{height_px}")
    if not 0 <= template <= 3:
        raise BundleError(f"JBIG2 has the templates 0 to 3, not {template}")
