"""The `Salient` section of a bundle: the crops of what must be true, in one picture.

In: the working image, the original's size, and rectangles in the original's pixels. Out: a `Salient`, or None when
there are no rectangles. Refuses: nothing.

Crops are never finer than the working image, so nothing is invented; large faces are sent coarser, since they stay
recognisable where text would not stay readable. One AVIF holds all crops (twelve crops of text: 6.0 kB together,
12.5 kB apart) and has one quality, that of the most delicate kind in it; beside text, faces are smoothed a little
first, which saves their share of bits.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import ceil

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from proxy.bundle import Coding, Picture, Rectangle, Salient, SalientKind, avif
from proxy.bundle.atlas import Layout, layout

RGB = npt.NDArray[np.uint8]

FACE_QUALITY, TEXT_QUALITY = 42, 56  # libavif's, 0–100
LARGE_FACE_PX = 88.0  # the side of a face, in the atlas, over which it is sent coarser
MAX_SCALE = 8  # the format's
SPEED = 6
SMOOTHING = 0.7  # Gaussian sigma of faces beside text, in pixels of the atlas
_ALIGN_PX = 8
_SHARP = frozenset((SalientKind.TEXT, SalientKind.CODE, SalientKind.LOGO))


def build(rgb: RGB, width_px: int, height_px: int, rectangles: Sequence[Rectangle]) -> Salient | None:
    """The crops at `rectangles` of the `width_px` × `height_px` original, taken from `rgb`, its working image."""
    if not rectangles:
        return None
    scale = scale_for(rectangles, width_px / rgb.shape[1])
    sharp = any(rectangle.kind in _SHARP for rectangle in rectangles)
    plan = layout(rectangles, scale)
    horizontally, vertically = rgb.shape[1] / width_px, rgb.shape[0] / height_px
    image = Image.fromarray(rgb)
    atlas = np.full((plan.height_px, plan.width_px, 3), rgb.reshape(-1, 3).mean(axis=0), np.uint8)
    for rectangle, (x, y, width, height) in zip(rectangles, plan.places, strict=True):
        region = (
            rectangle.x_px * horizontally,
            rectangle.y_px * vertically,
            (rectangle.x_px + rectangle.width_px) * horizontally,
            (rectangle.y_px + rectangle.height_px) * vertically,
        )
        crop = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box=region))
        if sharp and rectangle.kind not in _SHARP:
            crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), SMOOTHING), np.uint8)
        _paste(atlas, crop, x, y, plan)
    return Salient(tuple(rectangles), scale, _coded(atlas, TEXT_QUALITY if sharp else FACE_QUALITY, sharp))


def scale_for(rectangles: Sequence[Rectangle], original_per_working: float) -> int:
    """The whole number by which crops are reduced: at least to the working image's resolution, and further when
    there are only large faces.
    """
    least = ceil(original_per_working - 0.01)
    if all(rectangle.kind is SalientKind.FACE for rectangle in rectangles):
        smallest = min(min(rectangle.width_px, rectangle.height_px) for rectangle in rectangles)
        least = max(least, int(smallest / LARGE_FACE_PX))
    return min(max(least, 1), MAX_SCALE)


def _paste(atlas: RGB, crop: RGB, x: int, y: int, plan: Layout) -> None:
    """Put `crop` at (x, y), its border repeated up to the next block: a step there would cost bits and ring inwards."""
    height, width = crop.shape[:2]
    right = min(-(-(x + width) // _ALIGN_PX) * _ALIGN_PX, plan.width_px)
    bottom = min(-(-(y + height) // _ALIGN_PX) * _ALIGN_PX, plan.height_px)
    below, beside = bottom - y - height, right - x - width
    atlas[y:bottom, x:right] = cv2.copyMakeBorder(crop, 0, below, 0, beside, cv2.BORDER_REPLICATE)


def _coded(atlas: RGB, quality: int, sharp: bool) -> Picture:
    """`atlas` as bare AVIF; text keeps its colours' resolution (thin coloured strokes smear in 4:2:0)."""
    out = io.BytesIO()
    Image.fromarray(atlas).save(
        out,
        "AVIF",
        quality=quality,
        subsampling="4:4:4" if sharp else "4:2:0",
        speed=SPEED,
        range="full",
        max_threads=1,
        autotiling=False,
    )
    return Picture(Coding.AVIF, atlas.shape[1], atlas.shape[0], avif.strip(out.getvalue()))
