"""The smallest file of what must be true in every place: screenshots, charts, maps, images of text, what has alpha.

In: uint8 pixels (h, w, 3), or (h, w, 4) with alpha, the formats that the receiver can show, a tier, a limit of bytes.
Out: `File`, lossless or lossy with its worst places above what the tier asks; None when none is within the limit.
Refuses: nothing; files whose alpha does not come back exactly are not made.

The quality is found by interpolation: two to four files for most images. Every place has the same quality. libaom by
itself gives busy places less, which pays for photographs; in a rendered picture the worst place decides, and even
quality takes a tenth fewer bytes. Where that asks for a very high one, uneven quality is tried as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import cv2
import numpy as np

from proxy.encode.classical import (
    AVIF,
    JXL,
    LOSSLESS,
    WEBP,
    WEBP_MAX_SIDE_PX,
    File,
    Pixels,
    available,
    file_of,
    fitting,
    on_white,
    pixels_of,
    speed_for,
)
from proxy.encode.quality import worst_places
from proxy.encode.request import BALANCED, ECONOMY, FAITHFUL

TRUE_PLACES = {ECONOMY: 0.82, BALANCED: 0.88, FAITHFUL: 0.95}  # similarity of the worst places
_FIRST = {ECONOMY: 28, BALANCED: 36, FAITHFUL: 56}  # where the search begins; what most images need
_LEAST = {ECONOMY: 18, BALANCED: 26, FAITHFUL: 44}  # structure says nothing of colours, so none goes lower
_MOST, _STEP = 94, 6
_WEBP_RAISED = 12  # WebP's numbers for about the same
_SPEED, _SPEED_PX = 7, 800_000  # of libaom, and up to how many pixels: 130 ms for 640×360 in full colour
_TRIES, _NEAR = 3, 0.010  # files, and how far above what is asked is near enough
_UNEVEN_FROM, _UNEVEN_SPARED, _UNEVEN_TRIES = 50, 11, 2  # the even quality from which it is tried, and how far below
_SLOWER, _SLOWEST, _SLOWER_SPARED = 2, 5, 4  # speeds of a thorough search, and the quality they spare
_THOROUGH_TRIES, _THOROUGH_NEAR = 4, 0.004
_LOSSLESS_SHARE = 0.2  # of a quick PNG's bytes, at least; 0.5 to 0.7 for most images
_RISE, _LEAST_RISE = 0.007, 0.002  # of the worst places' similarity for one more of quality
_AIM = 0.002  # above what is asked


def true_file(
    pixels: Pixels, formats: Sequence[str], tier: str, limit_bytes: int, thorough: bool = False
) -> File | None:
    """The smallest file within `limit_bytes`. `thorough` takes four times as long and saves a tenth or two."""
    kinds = fitting(formats, pixels)
    if AVIF in kinds and pixels.shape[2] == 3:
        kinds = [kind for kind in kinds if kind != WEBP]  # its lossy files are larger, where there is no alpha
    found = [file for kind in kinds if (file := lossy(pixels, kind, tier, thorough)) is not None]
    if _may_be_smaller_lossless(pixels, found):
        if WEBP in formats and max(pixels.shape[:2]) <= WEBP_MAX_SIDE_PX:
            found.append(file_of(pixels, WEBP, LOSSLESS))
        if JXL in available(formats):
            found.append(file_of(pixels, JXL, LOSSLESS))
    best = min(found, key=lambda file: len(file.body), default=None)
    return best if best is not None and len(best.body) <= limit_bytes else None


def _may_be_smaller_lossless(pixels: Pixels, found: Sequence[File]) -> bool:
    """Whether a lossless file could be smaller than those `found`, by a quick PNG: for what came as JPEG it cannot."""
    if not found:
        return True
    quick = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    return _LOSSLESS_SHARE * len(quick) < min(len(file.body) for file in found)


def lossy(pixels: Pixels, kind: str, tier: str, thorough: bool = False) -> File | None:
    """The smallest lossy file found whose worst places are as the tier asks; None where alpha does not come back
    exactly, or no quality is enough.
    """
    raised = 0 if kind == AVIF else _WEBP_RAISED
    speed = _SPEED if pixels.shape[0] * pixels.shape[1] <= _SPEED_PX else speed_for(pixels)
    search = _Search(pixels, kind, TRUE_PLACES[tier], _LEAST[tier] + raised)
    search.run(_FIRST[tier] + raised, True, speed, _TRIES, _NEAR, patient=True)
    if kind != AVIF or search.best is None:
        return search.best
    if search.best.quality >= _UNEVEN_FROM:
        search.run(search.best.quality - _UNEVEN_SPARED, False, speed, _UNEVEN_TRIES, _NEAR)
    if thorough:
        first = max(search.best.quality - _SLOWER_SPARED, search.least)
        search.run(first, search.best_is_even, max(speed - _SLOWER, _SLOWEST), _THOROUGH_TRIES, _THOROUGH_NEAR)
    return search.best


class _Search:
    """Files of one kind, and the smallest of those that were good enough."""

    def __init__(self, pixels: Pixels, kind: str, demand: float, least: int) -> None:
        self._pixels, self._opaque, self._kind, self._demand = pixels, on_white(pixels), kind, demand
        self.least = least
        self.best: File | None = None
        self.best_is_even = True

    def run(self, first: int, even: bool, speed: int, tries: int, near: float, patient: bool = False) -> None:
        """Look at up to `tries` files, beginning with the quality `first`, until one is `near` enough; if `patient`, at
        more, until one is good enough.
        """
        tried: dict[int, float] = {}
        quality: int | None = first
        while quality is not None and (len(tried) < tries or (patient and self.best is None)):
            file = file_of(self._pixels, self._kind, quality, fine_colour=True, even=even, speed=speed)
            back = pixels_of(file)
            if not self._has_its_alpha(back):
                return
            tried[quality] = worst_places(self._opaque, on_white(back))
            if tried[quality] >= self._demand and (self.best is None or len(file.body) < len(self.best.body)):
                self.best, self.best_is_even = file, even
            quality = next_quality(tried, self._demand, self.least, near)

    def _has_its_alpha(self, back: Pixels) -> bool:
        if self._pixels.shape[2] == 3:
            return True
        return back.shape[2] == 4 and np.array_equal(back[..., 3], self._pixels[..., 3])


def next_quality(tried: Mapping[int, float], demand: float, least: int, near: float) -> int | None:
    """The quality, at least `least`, at which `demand` should just be met, by what the `tried` ones gave; None when one
    of them is `near` enough, or no other is left to try.
    """
    low = max((q for q, similar in tried.items() if similar < demand), default=least - 1)
    high = min((q for q, similar in tried.items() if similar >= demand), default=_MOST + 1)
    if high - low < 2 or (high in tried and tried[high] - demand < near):
        return None
    nearest, *others = sorted(tried, key=lambda q: abs(tried[q] - demand))
    rise = _RISE
    if others:
        measured = (tried[nearest] - tried[others[0]]) / (nearest - others[0])
        rise = max(measured, _LEAST_RISE)
    guess = nearest + ceil((demand + _AIM - tried[nearest]) / rise)
    lowest = low + _STEP if others and high > _MOST else low + 1  # the guess before was not enough
    return min(max(guess, lowest), high - 1)
