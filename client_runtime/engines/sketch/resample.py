"""Cubic upsampling of a small picture, any window of it at a time, so that a tile equals the same part of the whole.

In: a small picture, the size it is stretched to, and a window in that size (it may reach beyond the picture).
Out: float32 pixels of the window. Refuses nothing: positions outside repeat the border.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_COLUMNS = 256  # a band of the cubic matrix that is multiplied at a time


def upsample(
    picture: npt.NDArray[np.float32], height_px: int, width_px: int, top: int, left: int, rows: int, columns: int
) -> npt.NDArray[np.float32]:
    """The window (`top`, `left`, `rows`, `columns`) of `picture` (h, w, c) stretched to `height_px` × `width_px`.

    Catmull-Rom (Keys' cubic convolution, a = -0.5) with pixel centres aligned; returns (rows, columns, c).
    """
    tall = _stretch(picture, height_px, top, rows)
    wide = _stretch(np.ascontiguousarray(tall.transpose(1, 0, 2)), width_px, left, columns)
    return np.ascontiguousarray(wide.transpose(1, 0, 2))


def _stretch(picture: npt.NDArray[np.float32], size_px: int, start: int, count: int) -> npt.NDArray[np.float32]:
    """Stretch the first axis of (n, m, c) to `size_px` and take `count` rows from `start`."""
    n, m, c = picture.shape
    flat = picture.reshape(n, m * c)
    out = np.empty((count, m * c), np.float32)
    for first in range(0, count, _COLUMNS):
        last = min(first + _COLUMNS, count)
        weights, low, high = _cubic_band(n, size_px, start + first, start + last)
        np.matmul(weights, flat[low:high], out=out[first:last])
    return out.reshape(count, m, c)


def _cubic_band(n: int, size_px: int, start: int, stop: int) -> tuple[npt.NDArray[np.float32], int, int]:
    """Weights of source rows low..high for the stretched rows start..stop."""
    where = (np.clip(np.arange(start, stop), 0, size_px - 1) + 0.5) * (n / size_px) - 0.5
    base = np.floor(where).astype(np.int64)
    low, high = max(0, int(base[0]) - 1), min(n, int(base[-1]) + 3)
    weights = np.zeros((stop - start, high - low), np.float32)
    rows = np.arange(stop - start)
    for tap in range(-1, 3):
        distance = np.abs(where - (base + tap))
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        weight = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
        np.add.at(weights, (rows, np.clip(base + tap, 0, n - 1) - low), weight.astype(np.float32))
    return weights, low, high
