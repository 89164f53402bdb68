"""Classical files of an image: AVIF, WebP, JPEG XL, at full size, as small as a demand allows.

In: uint8 pixels (h, w, 3), or (h, w, 4) with alpha, the formats that the receiver can show, and a demand. Out: `File`,
or None when no allowed format meets the demand within the limit of bytes. Refuses: nothing; files whose alpha does not
come back exactly are not made.

Only full-size files count: a page's image must keep its dimensions, so a reduced file cannot be handed to a browser;
the best reduced coding is what a bundle's thumbnail already is. JPEG XL takes part where imagecodecs is installed.
"""

from __future__ import annotations

import functools
import importlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from proxy.encode.quality import worst_places
from proxy.encode.request import BALANCED, CLASSICAL, ECONOMY, FAITHFUL

Pixels = npt.NDArray[np.uint8]
GoodEnough = Callable[[Pixels], bool]

AVIF, WEBP, JXL = CLASSICAL
LOSSLESS = 100
SEARCH_SPEED, FINAL_SPEED = 9, 8  # of libaom: 12 ms and 45 ms for 640×427; 6 takes 180 ms and saves 3 % more
LARGE_PX, HUGE_PX = 1_500_000, 16_000_000  # larger: the search speed throughout; larger still: WebP only
LOWEST, HIGHEST = 3, 75
TRUE_PLACES = {ECONOMY: 0.82, BALANCED: 0.88, FAITHFUL: 0.95}  # of the worst places of what must be true
_TRUE_FIRST = {ECONOMY: 28, BALANCED: 36, FAITHFUL: 56}  # where the search begins; what most images need
_TRUE_LEAST = {ECONOMY: 18, BALANCED: 26, FAITHFUL: 44}  # structure says nothing of colours, so none goes lower
_TRUE_MOST, _TRUE_STEP = 94, 6
_TRUE_SPEED, _TRUE_SPEED_PX = 7, 800_000  # of libaom, and up to how many pixels: 130 ms for 640×360 in full colour
_TRUE_TRIES = 3
_RISE, _LEAST_RISE = 0.007, 0.002  # of the worst places' similarity for one more of quality
_AIM, _NEAR = 0.002, 0.010  # above what is demanded: what is aimed at, and what is near enough
_UNEVEN_FROM, _UNEVEN_SPARED = 50, 11  # even qualities this high may be more than uneven ones of so much less
_WEBP_RAISED = 12  # WebP's numbers for about the same
_TRIES = 5
_FINISHING = 1.1  # what the search speed costs in bytes at most, about
_FITTINGS = 3
_WEBP_MAX_SIDE_PX = 16_383


@dataclass(frozen=True, slots=True)
class File:
    """An image file; `quality` is LOSSLESS or the codec's own, 0 to 99."""

    format: str
    body: bytes
    quality: int

    @property
    def media_type(self) -> str:
        """image/avif, image/webp or image/jxl."""
        return f"image/{self.format}"


def available(formats: Sequence[str]) -> tuple[str, ...]:
    """Those of `formats` that can be written here."""
    return tuple(name for name in CLASSICAL if name in formats and (name != JXL or _imagecodecs() is not None))


def file_of(
    pixels: Pixels,
    kind: str,
    quality: int,
    *,
    fine_colour: bool = False,
    even: bool = False,
    speed: int = SEARCH_SPEED,
) -> File:
    """`pixels` as a file of format `kind`. `fine_colour` keeps the colours of thin lines (4:4:4); alpha is exact. AVIF
    is `even` when each place has the same quality; libaom by itself gives busy places less. Raises OSError or
    ValueError where the codec fails.
    """
    if kind == JXL:
        return File(JXL, _jxl(pixels, quality), quality)
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    if kind == WEBP:
        lossless = quality == LOSSLESS
        image.save(out, "WEBP", quality=20 if lossless else quality, lossless=lossless, method=2, alpha_quality=100)
    else:
        advanced = {"a:lossless": "1"} if pixels.shape[2] == 4 else {}
        if even:
            advanced["deltaq-mode"] = "0"
        colour = "4:4:4" if fine_colour else "4:2:0"
        image.save(
            out, "AVIF", quality=quality, subsampling=colour, speed=speed, range="full", max_threads=1,
            autotiling=False, advanced=advanced,
        )  # fmt: skip
    return File(kind, out.getvalue(), quality)


def pixels_of(file: File) -> Pixels:
    """A file's pixels, uint8 (h, w, 3), or (h, w, 4) if it has alpha."""
    if file.format == JXL:
        return np.asarray(_imagecodecs().jpegxl_decode(file.body), np.uint8)
    with Image.open(io.BytesIO(file.body)) as image:
        return np.asarray(image.convert("RGBA" if "A" in image.getbands() else "RGB"))


def true_file(pixels: Pixels, formats: Sequence[str], tier: str, limit_bytes: int) -> File | None:
    """The smallest file within `limit_bytes` that shows every place of `pixels` as it is: lossless, or lossy with the
    worst places above what the tier asks.
    """
    kinds = _fitting(formats, pixels)
    if AVIF in kinds and pixels.shape[2] == 3:
        kinds = [kind for kind in kinds if kind != WEBP]  # its lossy files are larger, where there is no alpha
    found = [file for kind in kinds if (file := _true_lossy(pixels, kind, tier)) is not None]
    if WEBP in formats and max(pixels.shape[:2]) <= _WEBP_MAX_SIDE_PX:
        found.append(file_of(pixels, WEBP, LOSSLESS))
    if JXL in available(formats):
        found.append(file_of(pixels, JXL, LOSSLESS))
    best = min(found, key=lambda file: len(file.body), default=None)
    return best if best is not None and len(best.body) <= limit_bytes else None


def _true_lossy(pixels: Pixels, kind: str, tier: str) -> File | None:
    """The smallest lossy file found whose worst places are as the tier asks; None where alpha does not come back
    exactly, or no quality is enough.

    Even quality takes a tenth fewer bytes for rendered pictures, where the worst place decides.
    """
    opaque, demand = on_white(pixels), TRUE_PLACES[tier]
    raised, speed = 0 if kind == AVIF else _WEBP_RAISED, _true_speed(pixels)
    least = _TRUE_LEAST[tier] + raised
    passing: list[File] = []

    def alike(quality: int, even: bool) -> float | None:
        """How alike the worst places of a file are; None if its alpha is not exact. It is kept if it is good enough."""
        file = file_of(pixels, kind, quality, fine_colour=True, even=even, speed=speed)
        back = pixels_of(file)
        if pixels.shape[2] == 4 and (back.shape[2] != 4 or not np.array_equal(back[..., 3], pixels[..., 3])):
            return None
        similar = worst_places(opaque, on_white(back))
        if similar >= demand:
            passing.append(file)
        return similar

    tried: dict[int, float] = {}
    quality: int | None = _TRUE_FIRST[tier] + raised
    while quality is not None and (len(tried) < _TRUE_TRIES or not passing):
        similar = alike(quality, True)
        if similar is None:
            return None
        tried[quality] = similar
        quality = next_quality(tried, demand, least)
    best = min(passing, key=lambda file: len(file.body), default=None)
    if best is not None and kind == AVIF and best.quality >= _UNEVEN_FROM:
        alike(best.quality - _UNEVEN_SPARED, False)
    return min(passing, key=lambda file: len(file.body), default=None)


def next_quality(tried: Mapping[int, float], demand: float, least: int) -> int | None:
    """The quality, at least `least`, at which `demand` should just be met, by what the `tried` ones gave; None when one
    of them is near enough, or no other is left to try.
    """
    low = max((q for q, similar in tried.items() if similar < demand), default=least - 1)
    high = min((q for q, similar in tried.items() if similar >= demand), default=_TRUE_MOST + 1)
    if high - low < 2 or (high in tried and tried[high] - demand < _NEAR):
        return None
    nearest, *others = sorted(tried, key=lambda q: abs(tried[q] - demand))
    rise = _RISE
    if others:
        measured = (tried[nearest] - tried[others[0]]) / (nearest - others[0])
        rise = max(measured, _LEAST_RISE)
    step = ceil((demand + _AIM - tried[nearest]) / rise)
    if high > _TRUE_MOST:
        step = max(step, _TRUE_STEP)  # nothing was enough so far
    return min(max(nearest + step, low + 1), high - 1)


def _true_speed(pixels: Pixels) -> int:
    return _TRUE_SPEED if pixels.shape[0] * pixels.shape[1] <= _TRUE_SPEED_PX else _speed(pixels)


def smallest(pixels: Pixels, formats: Sequence[str], good_enough: GoodEnough, limit_bytes: int) -> File | None:
    """The file of lowest quality that is `good_enough` (asked of its pixels) within `limit_bytes`; AVIF where it may be
    sent, else WebP. `pixels` are opaque.
    """
    kinds = [kind for kind in _fitting(formats, pixels) if kind != JXL]
    return _smallest(pixels, kinds[0], good_enough, limit_bytes) if kinds else None


def _smallest(pixels: Pixels, kind: str, good_enough: GoodEnough, limit_bytes: int) -> File | None:
    """By bisection; bytes rise with quality, so what exceeds the limit bounds the search from above too."""
    best: File | None = None
    low, high = LOWEST - 1, HIGHEST + 1
    guess = 14
    for _ in range(_TRIES):
        file = file_of(pixels, kind, guess)
        if len(file.body) > limit_bytes:
            high = guess
        elif good_enough(pixels_of(file)):
            best, high = file, guess
        else:
            low = guess
        if high - low < 2 or (best is not None and high - low <= 3):
            break
        guess = min((low + high) // 2, low + 16)
    return best


def finished(file: File, pixels: Pixels) -> File:
    """`file` at the speed of what is sent: the same quality in fewer bytes. `pixels` may be those of another size."""
    if file.format != AVIF:
        return file_of(pixels, file.format, file.quality)
    return file_of(pixels, AVIF, file.quality, speed=_speed(pixels))


def rival(rgb: Pixels, limit_bytes: int, good_enough: GoodEnough) -> File | None:
    """A classical file of at most `limit_bytes` that is `good_enough`, or None: what makes a bundle pointless.

    AVIF at the lowest quality settles it for most images: it is too large.
    """
    for kind in (AVIF, WEBP):
        file = _largest_within(rgb, kind, int(limit_bytes * (_FINISHING if kind == AVIF else 1)))
        for _ in range(_FITTINGS):
            if file is None or not good_enough(pixels_of(file)):
                break
            done = finished(file, rgb)
            if len(done.body) <= limit_bytes:
                return done
            file = file_of(rgb, kind, file.quality - 2) if file.quality >= 2 else None
    return None


def _largest_within(rgb: Pixels, kind: str, limit_bytes: int) -> File | None:
    best = file_of(rgb, kind, LOWEST)
    if len(best.body) > limit_bytes:
        return None
    low, high = LOWEST, HIGHEST
    for _ in range(_TRIES - 1):
        middle = (low + high) // 2
        file = file_of(rgb, kind, middle)
        if len(file.body) <= limit_bytes:
            best, low = file, middle
        else:
            high = middle
    return best


def on_white(pixels: Pixels) -> Pixels:
    """`pixels` without alpha, as on a white page."""
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[..., 3:].astype(np.uint16)
    return ((pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _fitting(formats: Sequence[str], pixels: Pixels) -> list[str]:
    """The formats that can hold these pixels in reasonable time, best first."""
    area, longest = pixels.shape[0] * pixels.shape[1], max(pixels.shape[:2])
    usable = available(formats)
    return [k for k in usable if (area <= HUGE_PX if k != WEBP else longest <= _WEBP_MAX_SIDE_PX)]


def _speed(pixels: Pixels) -> int:
    return FINAL_SPEED if pixels.shape[0] * pixels.shape[1] <= LARGE_PX else SEARCH_SPEED


def _jxl(pixels: Pixels, quality: int) -> bytes:
    """Lossless, or at the Butteraugli distance that libjxl gives to a JPEG-like quality."""
    codec = _imagecodecs()
    if quality == LOSSLESS:
        return bytes(codec.jpegxl_encode(pixels, lossless=True, effort=3, numthreads=1))
    distance = 0.1 + (100 - quality) * 0.09
    return bytes(codec.jpegxl_encode(pixels, distance=distance, effort=3, numthreads=1))


@functools.lru_cache(maxsize=1)
def _imagecodecs() -> Any:
    try:
        return importlib.import_module("imagecodecs")
    except ImportError:
        return None
