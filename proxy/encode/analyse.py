"""What kind of image this is, from features that cost a few milliseconds.

In: uint8 RGB (h, w, 3) and the file's format. Out: `Analysis`: the kind, and the features it was told by. Refuses:
nothing; what is in doubt is called a graphic, since graphics travel as real pixels.

Rendered pictures (charts, screenshots, logos, text) have many exactly flat pixels, few colours, and steps that are
either nothing or strong; photographs have mostly small steps. Thresholds were read off labelled web images.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]

ANALYSIS_SIDE_PX = 512
FLAT_STEP = 2
STRONG_STEP = 48
_LOSSLESS = frozenset(("PNG", "BMP", "GIF"))


class Kind(StrEnum):
    """Kinds that are treated differently; a GRAPHIC (chart, screenshot, logo, picture of text) is never generated."""

    PHOTOGRAPH = "photograph"
    ILLUSTRATION = "illustration"
    GRAPHIC = "graphic"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Analysis:
    """Shares of all pixels (0…1): `flat` steps ≤ 2, `strong` steps ≥ 48, the four commonest of 4096 colours, and how
    many colours cover 90 %; `hardness` is strong steps per soft one.
    """

    kind: Kind
    flat: float
    strong: float
    hardness: float
    top4: float
    colours: int


def analyse(rgb: RGB, file_format: str) -> Analysis:
    """The kind of `rgb`, with its reasons."""
    scale = min(1.0, ANALYSIS_SIDE_PX / max(rgb.shape[:2]))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    steps = _steps(np.asarray(small, np.uint8))
    flat = float(np.mean(steps <= FLAT_STEP))
    strong = float(np.mean(steps >= STRONG_STEP))
    hardness = strong / max(1.0 - flat - strong, 1e-6)
    shares = _colour_shares(np.asarray(small, np.uint8))
    top4 = float(shares[:4].sum())
    colours = int(np.searchsorted(np.cumsum(shares), 0.9)) + 1
    kind = _kind(flat, strong, hardness, top4, colours, file_format in _LOSSLESS)
    return Analysis(kind, flat, strong, hardness, top4, colours)


def _kind(flat: float, strong: float, hardness: float, top4: float, colours: int, lossless: bool) -> Kind:
    if flat > 0.995 and strong < 0.001:
        return Kind.EMPTY
    rendered = (
        hardness >= 0.6
        or (hardness >= 0.4 and colours <= 40)
        or (hardness >= 0.28 and colours <= 14)
        or (flat >= 0.65 and hardness >= 0.12 and colours <= 14)
        or (flat >= 0.7 and top4 >= 0.93)
        or (lossless and flat >= 0.6 and hardness >= 0.08)
    )
    if rendered:
        return Kind.GRAPHIC
    return Kind.ILLUSTRATION if flat >= 0.55 and colours <= 14 else Kind.PHOTOGRAPH


def _steps(rgb: RGB) -> npt.NDArray[np.int16]:
    """The larger of the steps to the right and to the lower neighbour, over all channels; (h - 1, w - 1), or (1, 1)
    zeros.
    """
    if min(rgb.shape[:2]) < 2:
        return np.zeros((1, 1), np.int16)
    wide = rgb.astype(np.int16)
    right = np.abs(wide[:-1, 1:] - wide[:-1, :-1]).max(axis=2)
    down = np.abs(wide[1:, :-1] - wide[:-1, :-1]).max(axis=2)
    return np.asarray(np.maximum(right, down), np.int16)


def _colour_shares(rgb: RGB) -> npt.NDArray[np.float64]:
    """Shares of the 16×16×16 colours, largest first."""
    quantised = (rgb >> 4).astype(np.int32)
    codes = quantised[..., 0] << 8 | quantised[..., 1] << 4 | quantised[..., 2]
    return np.sort(np.bincount(codes.ravel(), minlength=4096))[::-1] / codes.size
