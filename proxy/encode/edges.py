"""Canny edges within a budget of bytes.

In: uint8 RGB (h, w, 3) and a budget. Out: an `Edges` section at half size (at most MAP_SIDE_PX a side), or None when
even the strongest lines don't fit. Refuses: nothing.

Short components are dropped first (they cost bytes and carry texture, not shape); then the thresholds rise until the
map fits. Source: Canny, "A computational approach to edge detection" (1986), as in OpenCV; JBIG2 generic region,
ITU-T T.88.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from proxy.bundle import Edges, jbig2

MAP_SIDE_PX = 512
MIN_COMPONENT_PX = 20
TEMPLATE = 2
_THRESHOLDS = (60, 90, 130, 180, 240, 320, 420, 560)  # the upper one; the lower is half of it


def edges_within(rgb: npt.NDArray[np.uint8], budget_bytes: int) -> Edges | None:
    """The richest edge map of `rgb` that costs at most `budget_bytes`."""
    height, width = rgb.shape[:2]
    scale = min(0.5, MAP_SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    grey = cv2.GaussianBlur(grey, (0, 0), 0.8)
    low, high, best = 0, len(_THRESHOLDS) - 1, None
    while low <= high:  # bytes fall as thresholds rise: bisection finds the lowest threshold that fits
        middle = (low + high) // 2
        threshold = _THRESHOLDS[middle]
        edges = _code(np.asarray(cv2.Canny(grey, threshold / 2, threshold, L2gradient=True), np.uint8))
        if len(edges.payload) <= budget_bytes:
            best, high = edges, middle - 1
        else:
            low = middle + 1
    return best


def _code(canny: npt.NDArray[np.uint8]) -> Edges:
    bitmap = drop_short(canny > 0, MIN_COMPONENT_PX)
    height, width = bitmap.shape
    return Edges(width, height, TEMPLATE, False, jbig2.encode(bitmap, template=TEMPLATE))


def drop_short(bitmap: npt.NDArray[np.bool_], shortest_px: int) -> npt.NDArray[np.bool_]:
    """`bitmap` without its 8-connected components of fewer than `shortest_px` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(bitmap.astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= shortest_px
    keep[0] = False
    return np.asarray(keep[labels], bool)
