"""Cuts a picture too large for one pass into overlapping windows, and blends what was drawn in them without seams.

In: sizes in pixels. Out: windows that cover the picture, and a blended picture. Refuses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the picture; it may reach beyond the right and lower border (the network's sizes are multiples)."""

    top: int
    left: int
    rows: int
    columns: int


def windows(height_px: int, width_px: int, limit_px: int, overlap_px: int, align_px: int) -> list[Window]:
    """One window if both sides are at most `limit_px`, else several of equal size; overlap is at least `overlap_px`."""
    rows, tops = _spans(height_px, limit_px, overlap_px, align_px)
    columns, lefts = _spans(width_px, limit_px, overlap_px, align_px)
    return [Window(top, left, rows, columns) for top in tops for left in lefts]


class Canvas:
    """Takes drawn windows in any order; `picture()` is their average, weighted towards each window's middle."""

    def __init__(self, height_px: int, width_px: int, overlap_px: int) -> None:
        self._overlap_px = overlap_px
        self._sum = np.zeros((height_px, width_px, 3), np.float32)
        self._weight = np.zeros((height_px, width_px, 1), np.float32)

    def put(self, window: Window, drawn: Floats) -> None:
        """Add `drawn` (rows, columns, 3); what reaches beyond the picture is cut off."""
        height, width = self._sum.shape[:2]
        rows, columns = min(window.rows, height - window.top), min(window.columns, width - window.left)
        down = self._ramp(rows, window.top > 0, window.top + rows < height)
        right = self._ramp(columns, window.left > 0, window.left + columns < width)
        weight = (down[:, None] * right[None, :])[..., None]
        place = np.s_[window.top : window.top + rows, window.left : window.left + columns]
        self._sum[place] += drawn[:rows, :columns] * weight
        self._weight[place] += weight

    def picture(self) -> Floats:
        """(height, width, 3). Every pixel must have been covered."""
        return np.asarray(self._sum / self._weight, np.float32)

    def _ramp(self, count: int, rises: bool, falls: bool) -> Floats:
        ramp = np.ones(count, np.float32)
        rise = (np.arange(1, self._overlap_px + 1, dtype=np.float32) / (self._overlap_px + 1))[:count]
        if rises:
            ramp[: len(rise)] = rise
        if falls:
            ramp[count - len(rise) :] *= rise[::-1]
        return ramp


def _spans(size_px: int, limit_px: int, overlap_px: int, align_px: int) -> tuple[int, list[int]]:
    """(length, starts) along one axis; lengths and starts are multiples of `align_px`."""
    padded = _up(size_px, align_px)
    if padded <= limit_px:
        return padded, [0]
    count = -(-(padded - overlap_px) // (limit_px - overlap_px))
    length = _up(-(-(padded + (count - 1) * overlap_px) // count), align_px)
    last = padded - length
    return length, sorted({round(last * n / (count - 1) / align_px) * align_px for n in range(count)})


def _up(size_px: int, align_px: int) -> int:
    return -(-size_px // align_px) * align_px
