"""The classical codecs, as strong as their users can have them: whole files, at reduced size where that is better.

In: uint8 RGB of shape (h, w, 3) and a budget of bytes. Out: the best file of each codec and scale within it, decoded
and brought back to full size (Lanczos). Refuses nothing: where no quality fits the budget there is no result.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image

RGB = npt.NDArray[np.uint8]
SCALES = (1, 2, 3, 4, 8)
_LEVELS = 101  # quality 0 to 100, worst first


@dataclass(frozen=True, slots=True)
class Codec:
    """Encodes at a level of 0 to 100 (higher is better and larger) and decodes."""

    name: str
    encode: Callable[[RGB, int], bytes]
    decode: Callable[[bytes], RGB]


@dataclass(frozen=True, slots=True)
class Coded:
    """A picture that went through something: how, how many bytes that took, and what is left of it at full size."""

    family: str
    setting: str
    size_bytes: int
    picture: RGB


def _pillow(kind: str, **options: object) -> Callable[[RGB, int], bytes]:
    def encode(rgb: RGB, level: int) -> bytes:
        out = io.BytesIO()
        Image.fromarray(rgb).save(out, kind, quality=level, **options)
        return out.getvalue()

    return encode


def _open(data: bytes) -> RGB:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _jpegxl(rgb: RGB, level: int) -> bytes:
    distance = 25.0 * (0.02 ** (level / 100))  # Butteraugli distance 25 (worst allowed) to 0.5
    return bytes(imagecodecs.jpegxl_encode(rgb, distance=distance, effort=5, numthreads=1))


def _open_jpegxl(data: bytes) -> RGB:
    return np.asarray(imagecodecs.jpegxl_decode(data), np.uint8)


CODECS = (
    Codec("webp", _pillow("WEBP", method=6), _open),
    Codec("avif-420", _pillow("AVIF", subsampling="4:2:0", speed=6, max_threads=1), _open),
    Codec("avif-444", _pillow("AVIF", subsampling="4:4:4", speed=6, max_threads=1), _open),
    Codec("jpegxl", _jpegxl, _open_jpegxl),
)
WEBP = CODECS[0]
JPEG = Codec(
    "jpeg", _pillow("JPEG", optimize=True), _open
)  # for the experiments on the paper only: no rival at low rates


def within(
    rgb: RGB, budget_bytes: int, scales: tuple[int, ...] = SCALES, codecs: tuple[Codec, ...] = CODECS
) -> Iterator[Coded]:
    """The best of every codec at every scale in at most `budget_bytes`."""
    height, width = rgb.shape[:2]
    for scale in scales:
        small = reduced(rgb, scale)
        for codec in codecs:
            found = _best(codec, small, budget_bytes)
            if found is not None:
                level, data = found
                yield coded(codec, data, f"÷{scale} level {level}", width, height)


def reduced(rgb: RGB, scale: int) -> RGB:
    """`rgb` at 1/`scale` of its size (Lanczos)."""
    size = (max(1, round(rgb.shape[1] / scale)), max(1, round(rgb.shape[0] / scale)))
    return rgb if scale == 1 else np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def coded(codec: Codec, data: bytes, setting: str, width_px: int, height_px: int) -> Coded:
    """What is left of a picture of this size in `data` (Lanczos back up)."""
    picture = Image.fromarray(codec.decode(data))
    if picture.size != (width_px, height_px):
        picture = picture.resize((width_px, height_px), Image.Resampling.LANCZOS)
    return Coded(codec.name, setting, len(data), np.asarray(picture))


def _best(codec: Codec, small: RGB, budget_bytes: int) -> tuple[int, bytes] | None:
    """(level, file) of the highest level within the budget, by bisection."""
    low, high, best = -1, _LEVELS, None
    while high - low > 1:
        level = (low + high) // 2
        data = codec.encode(small, level)
        if len(data) <= budget_bytes:
            low, best = level, (level, data)
        else:
            high = level
    return best
