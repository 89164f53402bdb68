"""A picture from a bundle without any model: the safety net of both proxies and the `preview` engine.

In: a bundle. Out: uint8 RGB of shape (height, width, 3), the original's size, with the salient crops pasted in.
Refuses: bundles whose parts don't decode (`BundleError`).

The thumbnail is upsampled; a palette is upsampled and pulled apart along the edges (warp sharpening: near an edge,
colours are taken from further away from it); a bundle with neither is drawn as a pencil sketch of its edges, or left
a plain grey.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from proxy.bundle.model import Bundle
from proxy.bundle.pixels import crops, edge_map, picture_rgb
from proxy.bundle.resample import resize

RGB = npt.NDArray[np.uint8]

VERSION = 1  # part of the engine's fingerprint: raise it when the pixels change
PAPER = 236
PENCIL = 96
SEAM_PX = 6
WORK_SIDE_PX = 1024


def render(bundle: Bundle) -> RGB:
    """The preview of `bundle`, uint8 of shape (height, width, 3). Raises BundleError."""
    if bundle.thumbnail is not None:
        image = resize(picture_rgb(bundle.thumbnail), bundle.width_px, bundle.height_px)
    elif bundle.palette is not None:
        image = _from_palette(bundle)
    elif bundle.edges is not None:
        image = _pencil(bundle)
    else:
        image = np.full((bundle.height_px, bundle.width_px, 3), PAPER, np.uint8)
    return paste_crops(image, bundle)


def paste_crops(image: RGB, bundle: Bundle) -> RGB:
    """`image` with the bundle's crops in place, feathered into it over SEAM_PX inside each rectangle's border.

    Pixels further inside are exactly the atlas's. `image` is uint8 of shape (height, width, 3), the bundle's size.
    """
    if bundle.salient is None:
        return image
    out = image.copy()
    for rectangle, crop in zip(bundle.salient.rectangles, crops(bundle.salient), strict=True):
        rows = slice(rectangle.y_px, rectangle.y_px + rectangle.height_px)
        columns = slice(rectangle.x_px, rectangle.x_px + rectangle.width_px)
        touches = (rows.start == 0, rows.stop == bundle.height_px, columns.start == 0, columns.stop == bundle.width_px)
        weight = _feather(rectangle.width_px, rectangle.height_px, touches)[..., None]
        blend = crop * weight + out[rows, columns] * (1 - weight)
        out[rows, columns] = np.clip(np.rint(blend), 0, 255).astype(np.uint8)
    return out


def _feather(width_px: int, height_px: int, touches: tuple[bool, bool, bool, bool]) -> npt.NDArray[np.float32]:
    """Weights of a crop, (height, width) in 0…1: rising over the seam, except at borders shared with the image."""
    top, bottom, left, right = touches
    seam = max(1, min(SEAM_PX, width_px // 4, height_px // 4))

    def ramp(length: int, open_start: bool, open_end: bool) -> npt.NDArray[np.float32]:
        at = np.arange(length, dtype=np.float32)
        rise = np.full(length, np.inf, np.float32) if open_start else at + 1
        fall = np.full(length, np.inf, np.float32) if open_end else length - at
        return np.minimum(np.minimum(rise, fall) / (seam + 1), 1.0)

    return np.minimum.outer(ramp(height_px, top, bottom), ramp(width_px, left, right))


def _work_size(bundle: Bundle) -> tuple[int, int]:
    """(width, height) to draw at: the original's, but never more than WORK_SIDE_PX a side."""
    scale = min(1.0, WORK_SIDE_PX / max(bundle.width_px, bundle.height_px))
    return max(1, round(bundle.width_px * scale)), max(1, round(bundle.height_px * scale))


def _from_palette(bundle: Bundle) -> RGB:
    assert bundle.palette is not None
    width, height = _work_size(bundle)
    image = resize(picture_rgb(bundle.palette), width, height)
    if bundle.edges is not None:
        lines = cv2.resize(edge_map(bundle.edges).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        image = _warp_sharpen(image, np.asarray(lines, np.uint8), reach_px=max(width, height) / bundle.palette.width_px)
    return resize(image, bundle.width_px, bundle.height_px)


def _warp_sharpen(image: RGB, lines: RGB, reach_px: float) -> RGB:
    """Take each pixel near a line from further away on its own side, so that the blur between two colours narrows."""
    if not lines.any() or min(lines.shape) < 2:
        return image
    distance = cv2.distanceTransform(1 - lines, cv2.DIST_L2, 3)
    smooth = cv2.GaussianBlur(distance, (0, 0), 1.0)
    slope_y, slope_x = np.gradient(smooth)
    push = 0.7 * reach_px * np.exp(-distance / reach_px)  # d + push(d) never falls: nothing folds over
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    sampled = cv2.remap(
        image,
        (columns + push * slope_x).astype(np.float32),
        (rows + push * slope_y).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(sampled, np.uint8)


def _pencil(bundle: Bundle) -> RGB:
    assert bundle.edges is not None
    lines = edge_map(bundle.edges)
    paper = np.where(lines, PENCIL, PAPER).astype(np.uint8)
    return resize(np.repeat(paper[..., None], 3, axis=2), bundle.width_px, bundle.height_px)
