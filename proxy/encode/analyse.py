"""What kind of image this is, from features that cost a few milliseconds.

In: uint8 RGB (h, w, 3) and the file's format. Out: `Analysis`: the kind, and the features it was told by. Refuses:
nothing; what is in doubt is called a graphic, since graphics travel as real pixels.

Rendered pictures (charts, screenshots, logos, text) have many exactly flat pixels, few colours, and steps that are
either nothing or strong; photographs have mostly small steps. Thresholds were read off labelled web images. Cheap
features come first: the detector of codes is only asked about two-toned pictures, and detectors of text and faces are
left to `proxy.encode.salient`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
import numpy.typing as npt

from proxy.encode import graphics
from proxy.encode.salient import codes

RGB = npt.NDArray[np.uint8]

ANALYSIS_SIDE_PX = 512
TRACKING_SIDE_PX = 3
CODE_TONES = 0.5  # of all pixels are in the two commonest colours
CODE_SHARE = 0.05  # of the image's area: from here on it is an image of a code
FLAT_STEP = 2
STRONG_STEP = 48
# To be rendered: below, the rules are not believed (night skies, dark and pale studio pictures), but of PNGs, which are
# seldom photographs: a desktop is mostly its wallpaper.
UNLIKELY = 0.15
_LOSSLESS = frozenset(("PNG", "BMP", "GIF"))


class Kind(StrEnum):
    """Kinds that are treated differently; only photographs and illustrations are ever generated.

    `analyse` tells all but the last from pixels alone. What it takes for a photograph or an illustration is searched by
    detectors besides (`proxy.encode.salient.verdict`), which may call it text, a code, a crowd, or rendered after all.
    """

    PHOTOGRAPH = "photograph"
    ILLUSTRATION = "illustration"
    SCREENSHOT = "screenshot"
    CHART = "chart"
    MAP = "map"
    TEXT = "text"  # a page of text, or a picture with much text in it
    GRAPHIC = "graphic"  # logo, title card, diagram, drawing
    CODE = "code"  # QR code or barcode
    EMPTY = "empty"  # one tone, or a smooth passage between two
    TRACKING = "tracking"  # a beacon or a spacer: a few pixels
    CROWD = "crowd"  # more faces than a detector finds without missing one


GENERATED = frozenset((Kind.PHOTOGRAPH, Kind.ILLUSTRATION))


@dataclass(frozen=True, slots=True)
class Analysis:
    """Shares of all pixels (0…1): `flat` steps ≤ 2, `strong` steps ≥ 48, the four commonest of 4096 colours, and how
    many colours cover 90 %; `hardness` is strong steps per soft one. `rendered` is how likely the picture was drawn by
    a program, 0…1: less sure than `kind`, and of use together with what the detectors find. `drawn` is what kind of
    rendered picture it is, if it is one.
    """

    kind: Kind
    flat: float
    strong: float
    hardness: float
    top4: float
    colours: int
    rendered: float
    drawn: Kind = Kind.GRAPHIC


def analyse(rgb: RGB, file_format: str) -> Analysis:
    """The kind of `rgb`, with its reasons."""
    small = reduced(rgb)
    flat, strong, hardness = step_shares(small)
    shares = colour_shares(small)
    top4 = float(shares[:4].sum())
    colours = int(np.searchsorted(np.cumsum(shares), 0.9)) + 1
    values = graphics.features(small, shares, flat, strong, hardness)
    rendered = graphics.likelihood(values)
    kind = _kind(flat, strong, hardness, top4, colours, file_format in _LOSSLESS, rendered)
    if min(rgb.shape[:2]) <= TRACKING_SIDE_PX:
        kind = Kind.TRACKING
    drawn = Kind.CODE if _is_code(rgb, small, shares) else Kind(graphics.name(values))
    kind = drawn if kind is Kind.GRAPHIC else kind
    return Analysis(kind, flat, strong, hardness, top4, colours, rendered, drawn)


def _is_code(rgb: RGB, small: RGB, shares: npt.NDArray[np.float64]) -> bool:
    """Whether a code fills the picture; the detector of codes is only asked about pictures in two tones."""
    if shares[:2].sum() < CODE_TONES or not codes.available():
        return False
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
    if not codes.looks_printed(grey, least_dark=0.05):
        return False
    found = sum(box.area for box in codes.detect(rgb))
    return bool(found >= CODE_SHARE * rgb.shape[0] * rgb.shape[1])


def _kind(
    flat: float, strong: float, hardness: float, top4: float, colours: int, lossless: bool, likelihood: float
) -> Kind:
    if flat > 0.995 and strong < 0.001:
        return Kind.EMPTY
    rendered = (lossless or likelihood >= UNLIKELY) and (
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


def step_shares(small: RGB) -> tuple[float, float, float]:
    """`flat`, `strong` and `hardness`, as in `Analysis`."""
    steps = _steps(small)
    flat, strong = float(np.mean(steps <= FLAT_STEP)), float(np.mean(steps >= STRONG_STEP))
    return flat, strong, strong / max(1.0 - flat - strong, 1e-6)


def _steps(rgb: RGB) -> npt.NDArray[np.uint8]:
    """The larger of the steps to the right and to the lower neighbour, over all channels; (h - 1, w - 1), or (1, 1)
    zeros.
    """
    if min(rgb.shape[:2]) < 2:
        return np.zeros((1, 1), np.uint8)
    here = np.ascontiguousarray(rgb[:-1, :-1])
    right = cv2.absdiff(here, np.ascontiguousarray(rgb[:-1, 1:]))
    down = cv2.absdiff(here, np.ascontiguousarray(rgb[1:, :-1]))
    red, green, blue = cv2.split(cv2.max(right, down))
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def reduced(rgb: RGB) -> RGB:
    """`rgb` at most ANALYSIS_SIDE_PX a side: what features are taken from."""
    scale = min(1.0, ANALYSIS_SIDE_PX / max(rgb.shape[:2]))
    if scale == 1.0:
        return rgb
    return np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def colour_shares(rgb: RGB) -> npt.NDArray[np.float64]:
    """Shares of the 16×16×16 colours, largest first."""
    quantised = (rgb >> 4).astype(np.int32)
    codes = quantised[..., 0] << 8 | quantised[..., 1] << 4 | quantised[..., 2]
    return np.sort(np.bincount(codes.ravel(), minlength=4096))[::-1] / codes.size
