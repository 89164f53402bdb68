"""Whether another picture shows what is in a bundle's crops as truly as they do.

In: the working image, a picture of its size, a bundle's `Salient` and the original's size. Out: yes or no. Refuses:
nothing. Pure.

A file that is good enough on the whole may smear the few lines of text that crops are there to keep; one that does not
makes the bundle pointless where it is smaller.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from proxy.bundle import Rectangle, Salient
from proxy.bundle.pixels import crops
from proxy.bundle.resample import resize

RGB = npt.NDArray[np.uint8]

SLACK = 1.2  # of the squared error: 0.8 dB, which nobody sees


def as_true(picture: RGB, working: RGB, salient: Salient, width_px: int, height_px: int) -> bool:
    """Whether `picture` is as near to `working`, both uint8 (h, w, 3), as each crop is inside its rectangle."""
    horizontally, vertically = working.shape[1] / width_px, working.shape[0] / height_px
    for rectangle, crop in zip(salient.rectangles, crops(salient), strict=True):
        rows, columns = place(rectangle, horizontally, vertically)
        original = working[rows, columns].astype(np.float32)
        real = resize(crop, columns.stop - columns.start, rows.stop - rows.start)
        if np.mean((picture[rows, columns] - original) ** 2) > SLACK * np.mean((real - original) ** 2):
            return False
    return True


def place(rectangle: Rectangle, horizontally: float, vertically: float) -> tuple[slice, slice]:
    """(rows, columns) of a rectangle in the working image, at least one pixel each."""
    top, left = int(rectangle.y_px * vertically), int(rectangle.x_px * horizontally)
    bottom = max(top + 1, int((rectangle.y_px + rectangle.height_px) * vertically))
    right = max(left + 1, int((rectangle.x_px + rectangle.width_px) * horizontally))
    return slice(top, bottom), slice(left, right)
