"""The small coded pictures of a bundle: the palette and the thumbnail.

In: uint8 RGB (h, w, 3) and a budget of bytes. Out: `Picture` sections, headerless. Refuses: nothing; where no quality
fits the budget, the smallest coding is returned and the caller sees its size.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from proxy.bundle import Coding, Picture, avif, webp
from proxy.bundle.pixels import picture_rgb
from proxy.bundle.resample import resize

RGB = npt.NDArray[np.uint8]

PALETTE_SIDE = 32
PALETTE_QUALITY = 60
MIN_QUALITY, MAX_QUALITY = 12, 62
_WEBP_BYTES = 1000
SEARCH_SPEED, FINAL_SPEED = 8, 6  # of libaom: 6 saves 5 % of the bytes of 8 and costs 3.5 times the CPU
FIRST_QUALITY = 32
LOG_BYTES_PER_QUALITY = 0.036  # median over training photographs
CLOSE = 0.06
_TRIES = 5


def palette(rgb: RGB) -> Picture:
    """The colour grid of `rgb`: 32 cells along the longer side, as lossy WebP (about 200 bytes)."""
    height, width = rgb.shape[:2]
    scale = PALETTE_SIDE / max(height, width)
    grid = resize(rgb, max(1, round(width * scale)), max(1, round(height * scale)))
    out = io.BytesIO()
    Image.fromarray(grid).save(out, "WEBP", quality=PALETTE_QUALITY, method=6)
    stream, lossless = webp.strip(out.getvalue())
    coding = Coding.WEBP_LOSSLESS if lossless else Coding.WEBP_LOSSY
    return Picture(coding, grid.shape[1], grid.shape[0], stream)


def avif_file(rgb: RGB, quality: int, speed: int = FINAL_SPEED) -> bytes:
    """`rgb` as an AVIF file, 4:2:0, full range, nothing but pixels in it. `quality` is libavif's, 0–100; `speed`
    0–10.
    """
    out = io.BytesIO()
    Image.fromarray(rgb).save(
        out, "AVIF", quality=quality, subsampling="4:2:0", speed=speed, range="full", max_threads=1, autotiling=False
    )
    return out.getvalue()


def decoded(file: bytes) -> RGB:
    """An image file's pixels, uint8 (h, w, 3); alpha is left out."""
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"))


def avif_picture(rgb: RGB, quality: int, speed: int = FINAL_SPEED) -> Picture:
    """`rgb` as a headerless AVIF section."""
    return Picture(Coding.AVIF, rgb.shape[1], rgb.shape[0], avif.strip(avif_file(rgb, quality, speed)))


def reduced(rgb: RGB, divisor: int) -> RGB:
    """`rgb` at 1/`divisor` of its size, at least one pixel a side."""
    height, width = rgb.shape[:2]
    return resize(rgb, max(1, round(width / divisor)), max(1, round(height / divisor)))


def thumbnail(rgb: RGB, divisor: int, budget_bytes: int) -> tuple[Picture, int]:
    """(a quickly coded thumbnail at 1/`divisor`, its quality): the best in MIN_QUALITY…MAX_QUALITY within
    `budget_bytes`.
    """
    small = reduced(rgb, divisor)
    return best_quality(lambda quality: avif_picture(small, quality, SEARCH_SPEED), budget_bytes)


def best_coding(small: RGB, quality: int) -> Picture:
    """`small` as AVIF of `quality`, or as WebP where that costs no more and shows the pixels at least as well.

    WebP wins on a few tiny or nearly empty pictures, where AV1's headers and block sizes weigh most; larger ones are
    not tried.
    """
    avif_coded = avif_picture(small, quality)
    if len(avif_coded.payload) > _WEBP_BYTES:
        return avif_coded
    webp_coded = webp_within(small, len(avif_coded.payload))
    if webp_coded is None or _error(small, webp_coded) > _error(small, avif_coded):
        return avif_coded
    return webp_coded


def webp_picture(rgb: RGB, quality: int) -> Picture:
    """`rgb` as a headerless lossy WebP section."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "WEBP", quality=quality, method=4)
    stream, _ = webp.strip(out.getvalue())
    return Picture(Coding.WEBP_LOSSY, rgb.shape[1], rgb.shape[0], stream)


def webp_within(rgb: RGB, limit_bytes: int) -> Picture | None:
    """The lossy WebP of highest quality in at most `limit_bytes`, or None."""
    best = webp_picture(rgb, 0)
    if len(best.payload) > limit_bytes:
        return None
    low, high = 0, 100
    for _ in range(_TRIES):
        middle = (low + high) // 2
        coded = webp_picture(rgb, middle)
        if len(coded.payload) <= limit_bytes:
            best, low = coded, middle
        else:
            high = middle
    return best


def _error(original: RGB, coded: Picture) -> float:
    """Mean squared error per sample."""
    return float(np.mean((picture_rgb(coded).astype(np.float32) - original) ** 2))


def best_quality(code: Callable[[int], Picture], budget_bytes: int) -> tuple[Picture, int]:
    """The coding of highest quality within the budget, by false position on log(bytes), which grows evenly with
    quality.

    Stops when within CLOSE of the budget: two or three codings for most images.
    """
    low, high, guess, slope = MIN_QUALITY - 1, MAX_QUALITY + 1, FIRST_QUALITY, LOG_BYTES_PER_QUALITY
    goal, best, last = math.log(max(budget_bytes, 1)), None, None
    for _ in range(_TRIES):
        picture = code(guess)
        size = math.log(len(picture.payload))
        if size <= goal:
            best, low = (picture, guess), guess
        else:
            high = guess
        if last is not None and guess != last[0]:
            slope = min(max((size - last[1]) / (guess - last[0]), 0.01), 0.12)
        if high - low < 2 or 0 <= goal - size < CLOSE:
            break
        last = guess, size
        guess = min(max(math.floor(guess + (goal - size) / slope), low + 1), high - 1)
    return best if best is not None else (code(MIN_QUALITY), MIN_QUALITY)
