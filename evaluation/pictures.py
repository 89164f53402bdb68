"""The pictures that are compared and shown.

In: uint8 RGB of shape (h, w, 3). Out: the same at the size at which metrics are measured; small WebP files for
reports. Refuses nothing.
"""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

RGB = npt.NDArray[np.uint8]
SHOWN_PX = 300
SHOWN_QUALITY = 78


def at_view(rgb: RGB, view_px: int) -> RGB:
    """`rgb` with a long side of at most `view_px` (Lanczos); 0 keeps it."""
    height, width = rgb.shape[:2]
    scale = view_px / max(height, width) if view_px else 1.0
    return rgb if scale >= 1 else resized(rgb, max(1, round(width * scale)), max(1, round(height * scale)))


def resized(rgb: RGB, width_px: int, height_px: int) -> RGB:
    """`rgb` at exactly this size (Lanczos)."""
    if rgb.shape[:2] == (height_px, width_px):
        return rgb
    return np.asarray(Image.fromarray(rgb).resize((width_px, height_px), Image.Resampling.LANCZOS))


def like(rgb: RGB, other: RGB) -> RGB:
    """`rgb` at the size of `other`."""
    return resized(rgb, other.shape[1], other.shape[0])


def shown(rgb: RGB) -> str:
    """A small WebP of `rgb` as base64, for a report; the same pixels give the same text."""
    out = io.BytesIO()
    Image.fromarray(at_view(rgb, SHOWN_PX)).save(out, "WEBP", quality=SHOWN_QUALITY, method=4)
    return base64.b64encode(out.getvalue()).decode()
