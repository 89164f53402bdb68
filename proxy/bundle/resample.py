"""Resizing, done one way everywhere, so that both ends see the same pixels.

In: uint8 images of shape (h, w, 3) or (h, w). Out: the same at another size. Refuses: nothing; sizes are at least 1.
Down: Lanczos over the whole footprint (Pillow). Up: bicubic, which rings less than Lanczos on coded thumbnails.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

RGB = npt.NDArray[np.uint8]


def resize(image: RGB, width_px: int, height_px: int) -> RGB:
    """`image` at `width_px` × `height_px`."""
    height, width = image.shape[:2]
    if (width, height) == (width_px, height_px):
        return image
    grows = width_px >= width and height_px >= height
    method = Image.Resampling.BICUBIC if grows else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(image).resize((width_px, height_px), method))
