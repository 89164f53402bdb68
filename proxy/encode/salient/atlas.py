"""The `Salient` section of a bundle: the crops of what must be true, in one picture.

In: the working image, the original's size, and rectangles in the original's pixels. Out: a `Salient`, or None when
there are no rectangles. Refuses: nothing.

Crops have the working image's resolution, so nothing is invented. One AVIF holds all crops (twelve crops of text:
6.0 kB together, 12.5 kB apart) and has one quality, that of the most delicate kind in it: text and codes, then faces,
then logos. Large faces are sent at a lower quality, never smaller: for the same bytes, a face of 300 pixels is 2 dB
nearer to the original so, and a reduced one was worse than the thumbnail around it. Beside text, faces lose first what
they would not keep alone: small ones are smoothed, large ones coded at their own quality. That saves their share of
bits. A second atlas for them would save another 4 to 10 % of the crops' bytes, and cannot be shown by receivers of
version 1.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import ceil, log2

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from proxy.bundle import Coding, Picture, Rectangle, Salient, SalientKind, avif
from proxy.bundle.atlas import Layout, layout
from proxy.bundle.pixels import picture_rgb

RGB = npt.NDArray[np.uint8]

TEXT_QUALITY, FACE_QUALITY, LOGO_QUALITY = 56, 42, 38  # libavif's, 0–100
LARGE_FACE_PX = 88.0  # the side of a face, in the atlas, over which its quality falls
LEAST_FACE_QUALITY, QUALITY_PER_DOUBLING = 24, 10.0
MAX_SCALE = 8  # the format's
SPEED = 6
SMOOTHING = 0.7  # Gaussian sigma of faces beside text, in pixels of the atlas
_ALIGN_PX = 8
_SHARP = frozenset((SalientKind.TEXT, SalientKind.CODE))
_FLAT = frozenset((SalientKind.LOGO,))  # thin coloured lines, few of them: their colours' resolution costs nothing


def build(rgb: RGB, width_px: int, height_px: int, rectangles: Sequence[Rectangle]) -> Salient | None:
    """The crops at `rectangles` of the `width_px` × `height_px` original, taken from `rgb`, its working image."""
    if not rectangles:
        return None
    scale = scale_for(width_px / rgb.shape[1])
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
        if sharp and rectangle.kind is SalientKind.FACE:
            crop = _plainer(crop, _quality(rectangle, scale))
        _paste(atlas, crop, x, y, plan)
    fine_colour = any(rectangle.kind in _SHARP | _FLAT for rectangle in rectangles)
    return Salient(tuple(rectangles), scale, _coded(atlas, quality_for(rectangles, scale), fine_colour))


def scale_for(original_per_working: float) -> int:
    """The whole number by which crops are reduced, to the working image's resolution."""
    return min(max(ceil(original_per_working - 0.01), 1), MAX_SCALE)


def quality_for(rectangles: Sequence[Rectangle], scale: int) -> int:
    """The atlas's AVIF quality: that of the most delicate crop in it."""
    return max(_quality(rectangle, scale) for rectangle in rectangles)


def _quality(rectangle: Rectangle, scale: int) -> int:
    if rectangle.kind in _SHARP:
        return TEXT_QUALITY
    if rectangle.kind is SalientKind.LOGO:
        return LOGO_QUALITY
    side = min(rectangle.width_px, rectangle.height_px) / scale
    lower = QUALITY_PER_DOUBLING * log2(max(side / LARGE_FACE_PX, 1.0))
    return max(round(FACE_QUALITY - lower), LEAST_FACE_QUALITY)


def _plainer(crop: RGB, quality: int) -> RGB:
    """A face without the detail that costs bits beside text."""
    if quality < FACE_QUALITY:
        return picture_rgb(_coded(np.ascontiguousarray(crop), quality, False))
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), SMOOTHING), np.uint8)


def _paste(atlas: RGB, crop: RGB, x: int, y: int, plan: Layout) -> None:
    """Put `crop` at (x, y), its border repeated up to the next block: a step there would cost bits and ring inwards."""
    height, width = crop.shape[:2]
    right = min(-(-(x + width) // _ALIGN_PX) * _ALIGN_PX, plan.width_px)
    bottom = min(-(-(y + height) // _ALIGN_PX) * _ALIGN_PX, plan.height_px)
    below, beside = bottom - y - height, right - x - width
    atlas[y:bottom, x:right] = cv2.copyMakeBorder(crop, 0, below, 0, beside, cv2.BORDER_REPLICATE)


def _coded(atlas: RGB, quality: int, fine_colour: bool) -> Picture:
    """`atlas` as bare AVIF; text keeps its colours' resolution (thin coloured strokes smear in 4:2:0)."""
    out = io.BytesIO()
    Image.fromarray(atlas).save(
        out,
        "AVIF",
        quality=quality,
        subsampling="4:4:4" if fine_colour else "4:2:0",
        speed=SPEED,
        range="full",
        max_threads=1,
        autotiling=False,
    )
    return Picture(Coding.AVIF, atlas.shape[1], atlas.shape[0], avif.strip(out.getvalue()))
