"""What kind of image this is, from features that cost a few milliseconds.

In: uint8 RGB (h, w, 3) and the file's format. Out: `Analysis`: the kind, and the features it was told by. Refuses:
nothing; what is in doubt is called a graphic, since graphics travel as real pixels.

Rendered pictures (charts, screenshots, logos, text) have many exactly flat pixels, few colours, and steps that are
either nothing or strong; photographs have mostly small steps. Thresholds were read off labelled web images.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import exp, log

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]

ANALYSIS_SIDE_PX = 512
_BLOCK_PX = 8
FLAT_STEP = 2
STRONG_STEP = 48
_LOSSLESS = frozenset(("PNG", "BMP", "GIF"))


class Kind(StrEnum):
    """Kinds that are treated differently; only photographs and illustrations are ever generated.

    `analyse` tells the first four apart. The others take detectors to tell (`proxy.encode.salient.verdict`), which run
    on what `analyse` takes for a photograph or an illustration only.
    """

    PHOTOGRAPH = "photograph"
    ILLUSTRATION = "illustration"
    GRAPHIC = "graphic"  # chart, map, screenshot, logo, title card
    EMPTY = "empty"
    TEXT = "text"  # a page of text, or a picture with much text in it
    CODE = "code"  # QR code or barcode
    CROWD = "crowd"  # more faces than a detector finds without missing one


GENERATED = frozenset((Kind.PHOTOGRAPH, Kind.ILLUSTRATION))


@dataclass(frozen=True, slots=True)
class Analysis:
    """Shares of all pixels (0…1): `flat` steps ≤ 2, `strong` steps ≥ 48, the four commonest of 4096 colours, and how
    many colours cover 90 %; `hardness` is strong steps per soft one. `rendered` is how likely the picture was drawn by
    a program, 0…1: less sure than `kind`, and of use together with what the detectors find.
    """

    kind: Kind
    flat: float
    strong: float
    hardness: float
    top4: float
    colours: int
    rendered: float


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
    rendered = _rendered(np.asarray(small, np.uint8), strong, hardness, top4, colours)
    return Analysis(kind, flat, strong, hardness, top4, colours, rendered)


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


def _rendered(small: RGB, strong: float, hardness: float, top4: float, colours: int) -> float:
    """The likelihood that `small` was rendered: a logistic model of six features.

    Fitted to 33 rendered pictures and 83 photographs from the web, each at 240 to 1024 pixels as JPEG, WebP and PNG:
    reduced and compressed charts lose the exactly flat pixels and hard steps that `_kind` looks for.
    """
    rows, columns = small.shape[0] // _BLOCK_PX, small.shape[1] // _BLOCK_PX
    if not rows or not columns:
        return 0.0
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[: rows * _BLOCK_PX, : columns * _BLOCK_PX].astype(np.float32)
    spread = grey.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX).std(axis=(1, 3))
    quiet, busy = float(np.mean(spread < 1.5)), float(np.mean(spread > 25))
    soft = float(np.mean((spread >= 1.5) & (spread < 12)))
    logit = 5.515 + 2.487 * top4 + 6.799 * quiet + 1.010 * log(hardness + 0.01) + 2.193 * log(strong + 0.003)
    logit -= 0.247 * log((busy + 0.01) / (soft + 0.01)) + 0.726 * log(colours)
    return 1.0 / (1.0 + exp(-logit))


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
