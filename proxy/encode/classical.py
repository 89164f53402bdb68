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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from proxy.encode.request import CLASSICAL

Pixels = npt.NDArray[np.uint8]
GoodEnough = Callable[[Pixels], bool]

AVIF, WEBP, JXL = CLASSICAL
LOSSLESS = 100
SEARCH_SPEED, FINAL_SPEED = 9, 8  # of libaom: 12 ms and 45 ms for 640×427; 6 takes 180 ms and saves 3 % more
LARGE_PX, HUGE_PX = 1_500_000, 16_000_000  # larger: the search speed throughout; larger still: WebP only
LOWEST, HIGHEST = 3, 75
_TRIES = 5
_FINISHING = 1.1  # what the search speed costs in bytes at most, about
_FITTINGS = 3
_SMALL_PX = 128 * 128
WEBP_MAX_SIDE_PX = 16_383


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


def smallest(pixels: Pixels, formats: Sequence[str], good_enough: GoodEnough, limit_bytes: int) -> File | None:
    """The file of lowest quality that is `good_enough` (asked of its pixels) within `limit_bytes`; AVIF where it may be
    sent, else WebP. `pixels` are opaque.
    """
    kinds = [kind for kind in fitting(formats, pixels) if kind != JXL]
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
    return file_of(pixels, AVIF, file.quality, speed=speed_for(pixels))


def rival(rgb: Pixels, limit_bytes: int, good_enough: GoodEnough) -> File | None:
    """A classical file of at most `limit_bytes` that is `good_enough`, or None: what makes a bundle pointless.

    AVIF at the lowest quality settles it for most images: it is too large, and only of small ones is WebP smaller.
    """
    kinds = (AVIF, WEBP) if rgb.shape[0] * rgb.shape[1] <= _SMALL_PX else (AVIF,)
    for kind in kinds:
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


def fitting(formats: Sequence[str], pixels: Pixels) -> list[str]:
    """The formats that can hold these pixels in reasonable time, best first."""
    area, longest = pixels.shape[0] * pixels.shape[1], max(pixels.shape[:2])
    usable = available(formats)
    return [k for k in usable if (area <= HUGE_PX if k != WEBP else longest <= WEBP_MAX_SIDE_PX)]


def speed_for(pixels: Pixels) -> int:
    """Of libaom, for a file of `pixels` that is sent."""
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
