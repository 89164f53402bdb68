"""Whether a picture was rendered, and as what: screenshot, chart, map, text, or another graphic.

In: uint8 RGB (h, w, 3), at most a few hundred pixels a side. Out: a value for each of FEATURES, and from them a
likelihood that it was rendered, and the name of one of NAMES. Refuses: nothing.

No rendered picture is ever generated, so a mistake among NAMES costs no truth; it makes reports and the choice of a
classical codec's settings a little worse. The features are layout: lines of small marks (text), long straight steps
along the axes (windows, axes), what the border holds (screenshots go to the edge, charts keep a margin), directions of
edges (maps have all). The weights are two regressions, logistic and softmax, fitted by `evaluation.fit_kinds` to
labelled training images.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from math import exp

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float64]

NAMES = ("screenshot", "chart", "map", "text", "graphic")
FEATURES = (
    "aspect",  # |log(width / height)|
    "top1",  # share of the commonest of 4096 colours
    "top4",
    "log_colours",  # that cover 90 %
    "white",
    "dark",
    "saturated",
    "quiet",  # share of 8-pixel blocks that are nearly flat
    "busy",
    "soft",  # and of those with photographic texture
    "border_common",  # share of the border in its commonest colour
    "lines",  # log of the number of lines of text, by their shape
    "line_share",  # of the area
    "line_left",  # share of the lines that begin where others do
    "line_rim",  # share of the lines in the outer fifth, where a chart's labels are
    "rows",  # share of rows with a straight step over an eighth of the width
    "columns",
    "slanted",  # share of the edges that run neither level nor upright
    "marks",  # log of the number of small blobs that are no text
    "top16",
    "grainy",  # share of pixels that a median filter changes
    "flat",  # share of steps of at most 2 of 255
    "log_strong",  # share of steps of 48 or more
    "log_hardness",  # strong steps per soft one
)
_BLOCK_PX = 8
_STRONG = 40


@functools.cache
def _fitted() -> dict[str, Values]:
    """means, scales (n,); kinds (4n + 1, classes); rendered (4n + 1,)."""
    held = json.loads(resources.files(__package__).joinpath("graphics.json").read_text(encoding="utf-8"))
    if held["features"] != list(FEATURES) or held["names"] != list(NAMES):
        raise ValueError("graphics.json was fitted to other features; run evaluation.fit_kinds")
    return {key: np.asarray(held[key], np.float64) for key in ("means", "scales", "kinds", "rendered")}


def standardised(values: Values, means: Values, scales: Values) -> Values:
    """`values` (…, n) by their spread in training, how far they are above -1, 0 and 1 of it, and a constant 1; (…,
    4n + 1). A weight of each lets a feature tell something else in the middle than at its ends.
    """
    within = np.clip((values - means) / scales, -4.0, 4.0)
    above = [np.maximum(within - knot, 0.0) for knot in (-1.0, 0.0, 1.0)]
    return np.concatenate([within, *above, np.ones((*within.shape[:-1], 1))], axis=-1)


def likelihood(values: Values) -> float:
    """How likely a picture with these FEATURES was rendered, 0…1."""
    fitted = _fitted()
    logit = float(standardised(values, fitted["means"], fitted["scales"]) @ fitted["rendered"])
    return 1.0 / (1.0 + exp(-min(max(logit, -50.0), 50.0)))


def name(values: Values) -> str:
    """The likeliest of NAMES, given that the picture was rendered."""
    fitted = _fitted()
    return NAMES[int(np.argmax(standardised(values, fitted["means"], fitted["scales"]) @ fitted["kinds"]))]


def features(small: RGB, shares: Values, flat: float, strong: float, hardness: float) -> Values:
    """FEATURES of `small`; `shares` are those of its 4096 colours, descending; the others as in `analyse.Analysis`."""
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
    red, green, blue = cv2.split(small)
    highest, lowest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    spread = _block_spread(grey)
    rim = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]]) >> 4
    rim_codes = rim[:, 0].astype(np.int32) << 8 | rim[:, 1].astype(np.int32) << 4 | rim[:, 2]
    lines, marks = _lines_and_marks(grey)
    rows, columns = _straight(grey)
    return np.array(
        [
            abs(np.log(small.shape[1] / small.shape[0])),
            shares[0],
            shares[:4].sum(),
            np.log(np.searchsorted(np.cumsum(shares), 0.9) + 1),
            np.mean(lowest >= 240),
            np.mean(highest <= 48),
            np.mean(cv2.subtract(highest, lowest) >= 80),
            np.mean(spread < 1.5),
            np.mean(spread > 25),
            np.mean((spread >= 1.5) & (spread < 12)),
            np.bincount(rim_codes, minlength=4096).max() / len(rim_codes),
            *_layout(lines, grey.shape[1], grey.shape[0]),
            rows,
            columns,
            _slanted(grey),
            np.log1p(marks),
            shares[:16].sum(),
            np.mean(cv2.absdiff(grey, cv2.medianBlur(grey, 5)) > 3),
            flat,
            np.log(strong + 0.003),
            np.log(hardness + 0.01),
        ],
        np.float64,
    )


def _block_spread(grey: RGB) -> npt.NDArray[np.float32]:
    rows, columns = max(1, grey.shape[0] // _BLOCK_PX), max(1, grey.shape[1] // _BLOCK_PX)
    block = min(_BLOCK_PX, grey.shape[0]), min(_BLOCK_PX, grey.shape[1])
    cut = grey[: rows * block[0], : columns * block[1]].astype(np.float32)
    return np.asarray(cut.reshape(rows, block[0], columns, block[1]).std(axis=(1, 3)), np.float32)


def _lines_and_marks(grey: RGB) -> tuple[npt.NDArray[np.int32], int]:
    """((n, 4) boxes x, y, width, height of what has the shape of a line of text, the number of other small blobs)."""
    steps = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    edges = (steps >= _STRONG).astype(np.uint8)
    joined = cv2.morphologyEx(edges, cv2.MORPH_CLOSE, np.ones((1, 9), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    boxes = np.asarray(stats[1:count], np.int32)
    x, y, width, height, area = (boxes[:, i] for i in range(5))
    full = area >= 0.45 * width * height
    is_line = (height >= 4) & (height <= 28) & (width >= 2.2 * height) & full
    is_mark = (height >= 3) & (height <= 20) & (width <= 20) & ~is_line
    return np.stack([x, y, width, height], axis=1)[is_line], int(is_mark.sum())


def _layout(lines: npt.NDArray[np.int32], width: int, height: int) -> tuple[float, float, float, float]:
    """(log of the number of lines, their share of the area, share that begin together, share in the outer fifth)."""
    if not len(lines):
        return 0.0, 0.0, 0.0, 0.0
    x, y, w, h = (lines[:, i].astype(np.float64) for i in range(4))
    together = (np.abs(x[:, None] - x[None]) <= 4).sum(axis=1) >= 3
    middle_x, middle_y = (x + w / 2) / width, (y + h / 2) / height
    rim = (middle_x < 0.2) | (middle_x > 0.8) | (middle_y < 0.2) | (middle_y > 0.8)
    share = float((w * h).sum() / (width * height))
    return float(np.log1p(len(lines))), share, float(together.mean()), float(rim.mean())


def _straight(grey: RGB) -> tuple[float, float]:
    """Shares of rows and of columns along which a step runs straight for an eighth of the picture."""
    wide = grey.astype(np.int16)
    down = (np.abs(np.diff(wide, axis=0)) >= 12).astype(np.uint8)
    right = (np.abs(np.diff(wide, axis=1)) >= 12).astype(np.uint8)
    if not down.size or not right.size:
        return 0.0, 0.0
    level = cv2.erode(down, np.ones((1, max(3, grey.shape[1] // 8)), np.uint8), borderValue=0)
    upright = cv2.erode(right, np.ones((max(3, grey.shape[0] // 8), 1), np.uint8), borderValue=0)
    return float(level.any(axis=1).mean()), float(upright.any(axis=0).mean())


def _slanted(grey: RGB) -> float:
    right = cv2.Sobel(grey, cv2.CV_32F, 1, 0)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength = np.abs(right) + np.abs(down)
    edges = strength >= 4 * _STRONG
    if not edges.any():
        return 0.0
    lesser = np.minimum(np.abs(right), np.abs(down))[edges]
    return float(np.mean(lesser >= 0.25 * np.maximum(np.abs(right), np.abs(down))[edges]))
