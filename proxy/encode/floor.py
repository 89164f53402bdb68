"""How good a picture is, in the terms of the networks that judge it, without the networks: a calibrated estimate.

In: an original and a picture of the same shape, uint8 RGB (h, w, 3). Out: `Estimate`, the VGG16 similarity (at 224×224)
and the LPIPS-VGG distance to expect, and whether a tier's floor is reached. Refuses: different shapes (`ValueError`).

Ten cheap features (structure, gradients, lost and added contrast, colour) go through linear models in calibration.json,
which `sketchwire evaluate choice calibrate` fits to the networks' own figures. The floor's LPIPS is relative to a
reference, the same image as AVIF of quality 20 at half its size: distances of different images cannot be compared, and
the model's error for an image is much the same for both pictures. Structure: SSIM (Wang et al. 2004); gradients: GMSD
(Xue et al. 2014).
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import cv2
import numpy as np
import numpy.typing as npt

from proxy.bundle.resample import resize
from proxy.encode.pictures import avif_file, decoded, reduced
from proxy.encode.request import BALANCED, ECONOMY, FAITHFUL

RGB = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]

VERSION = 1  # raise it when a feature changes, and calibrate anew
VGG_SIDE_PX = 224
REFERENCE_DIVISOR, REFERENCE_QUALITY = 2, 20
SMALL = ("structure", "half", "quarter", "gradients", "lost", "added", "colour")
FULL = ("structure", "gradients", "lost", "added", "flow")
SKETCH = "sketch"
DRAWN, MEASURED = "drawn", "measured"
_C_STRUCTURE, _C_GRADIENT = 58.5, 170.0
_WINDOW = (8, 8)
_TINY = 1e-3
_CHROMA_LEVELS = 24
MAX_CAST = 9.0  # models of products cannot see a picture that is right in all but its colours; codecs stay under 4


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the networks would say: `vgg16` similarity (1 is equal), `lpips` distance (0 is equal). `cast` is how far
    the colours are off on average, in levels of chroma.
    """

    vgg16: float
    lpips: float
    cast: float = 0.0
    measured: bool = True  # of the picture itself, not foretold from its preview


@dataclass(frozen=True, slots=True)
class Floor:
    """A tier's demands: the least VGG16 similarity, and the greatest LPIPS distance as a share of the reference's."""

    vgg16: float
    lpips_of_reference: float


FLOORS: Mapping[str, Floor] = {
    ECONOMY: Floor(0.78, 1.12),
    BALANCED: Floor(0.85, 1.0),
    FAITHFUL: Floor(0.95, 0.6),
}


@dataclass(frozen=True, slots=True)
class Calibration:
    """The models of calibration.json: weights by name, the first of each being the constant, and safety margins."""

    engine: str
    heads: Mapping[str, Sequence[float]]
    margins: Mapping[str, tuple[float, float]]  # (of VGG16 at balanced, of LPIPS) for "drawn" and "measured" estimates


@functools.lru_cache(maxsize=1)
def calibration() -> Calibration:
    """What was fitted and is shipped with the package."""
    return Calibration(**json.loads(_calibration_file()))


@functools.lru_cache(maxsize=1)
def fingerprint() -> str:
    """16 hexadecimal digits over all that decides what is good enough."""
    return hashlib.sha256(b"%d %s" % (VERSION, _calibration_file())).hexdigest()[:16]


def _calibration_file() -> bytes:
    return (resources.files("proxy.encode") / "calibration.json").read_bytes()


class Judge:
    """Judges pictures of one original against a tier's floor; the original's side is computed once."""

    def __init__(self, rgb: RGB, tier: str, engine: str = "preview", fitted: Calibration | None = None) -> None:
        self._rgb = rgb
        self._floor = FLOORS[tier]
        self._engine = engine
        self._fitted = fitted or calibration()

    @functools.cached_property
    def reference_lpips(self) -> float:
        """The reference's LPIPS distance, as estimated."""
        small = decoded(avif_file(reduced(self._rgb, REFERENCE_DIVISOR), REFERENCE_QUALITY, 8))
        return self.measured(resize(small, self._rgb.shape[1], self._rgb.shape[0])).lpips

    @functools.cached_property
    def _small(self) -> _Planes:
        return _planes(_at_vgg_size(self._rgb))

    @functools.cached_property
    def _full(self) -> _Planes:
        return _planes(self._rgb)

    def measured(self, picture: RGB) -> Estimate:
        """What to think of `picture` itself."""
        small, full = self.features(picture)
        return self._estimate(small, full, "", ())

    def drawn(self, preview: RGB, divisor: int, quality: int) -> Estimate:
        """What to think of what the engine will draw, from the preview of the same thumbnail (1/`divisor` of the size,
        AVIF of `quality`). An engine that was not calibrated is taken to be no better than the preview.
        """
        small, full = self.features(preview)
        if self._engine != SKETCH:
            return self._estimate(small, full, "", ())
        return self._estimate(small, full, f"{SKETCH} ", scale_terms(divisor, quality))

    def headroom(self, estimate: Estimate) -> float:
        """How far above the floor an estimate is, after the margins of safety; below it where negative."""
        margin_vgg16, margin_lpips = self._fitted.margins[MEASURED if estimate.measured else DRAWN]
        # errors of the estimated distance 1 − similarity grow with it, so its margin is a share of it
        share = max(0.0, 1 - margin_vgg16 / (1 - FLOORS[BALANCED].vgg16))
        similar = (1 - self._floor.vgg16) * share - (1 - estimate.vgg16)
        nearer = self.reference_lpips * self._floor.lpips_of_reference - margin_lpips - estimate.lpips
        return min(similar, nearer, (MAX_CAST - estimate.cast) / MAX_CAST)

    def features(self, picture: RGB) -> tuple[Vector, Vector]:
        """(the features at 224×224, named in SMALL; those at full size, named in FULL)."""
        if picture.shape != self._rgb.shape:
            raise ValueError(f"cannot compare images of {self._rgb.shape} and {picture.shape}")
        return _small_features(self._small, _planes(_at_vgg_size(picture))), _full_features(
            self._full, _planes(picture)
        )

    def _estimate(self, small: Vector, full: Vector, prefix: str, more: Sequence[float]) -> Estimate:
        heads = self._fitted.heads
        distance = np.exp(terms(small, more) @ np.asarray(heads[f"{prefix}vgg16"]))
        lpips = terms(full, more) @ np.asarray(heads[f"{prefix}lpips"])
        return Estimate(
            float(np.clip(1 - distance, 0, 1)), float(max(lpips, 0.0)), float(small[-1]) * _CHROMA_LEVELS, not prefix
        )


def terms(features: Vector, more: Sequence[float] = ()) -> Vector:
    """What the models weigh: a constant, the features' logarithms, and `more`. VGG16's model predicts the logarithm of
    a distance, which is then a product of powers of the features.
    """
    return np.concatenate(([1.0], np.log(np.maximum(features, 0) + _TINY), np.asarray(more, np.float64)))


def scale_terms(divisor: int, quality: int) -> tuple[float, float, float]:
    """What the prediction for the engine knows of the thumbnail besides its preview."""
    return (float(divisor == 3), float(divisor >= 4), quality / 100)


@dataclass(frozen=True, slots=True)
class _Planes:
    luma: Float
    gradient: Float
    mean: Float
    deviation: Float
    chroma: Float


def _planes(rgb: RGB) -> _Planes:
    both = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    luma = both[..., 0].astype(np.float32)
    blurred = np.asarray(cv2.blur(luma, (2, 2)), np.float32)
    across, down = (
        cv2.Scharr(blurred, cv2.CV_32F, 1, 0, scale=1 / 16),
        cv2.Scharr(blurred, cv2.CV_32F, 0, 1, scale=1 / 16),
    )
    mean = np.asarray(cv2.blur(luma, _WINDOW), np.float32)
    variance = np.maximum(cv2.blur(luma * luma, _WINDOW) - mean * mean, 0)
    small = max(1, rgb.shape[1] // 8), max(1, rgb.shape[0] // 8)
    chroma = cv2.resize(np.ascontiguousarray(both[..., 1:]), small, interpolation=cv2.INTER_AREA).astype(np.float32)
    return _Planes(luma, np.asarray(cv2.magnitude(across, down), np.float32), mean, np.sqrt(variance), chroma)


def _at_vgg_size(rgb: RGB) -> RGB:
    return np.asarray(cv2.resize(rgb, (VGG_SIDE_PX, VGG_SIDE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _small_features(first: _Planes, second: _Planes) -> Vector:
    lost, added = _contrast(first, second)
    halves = [_structure(*(_smaller(p, by) for p in (first, second))) for by in (2, 4)]
    colour = float(np.mean(np.abs(first.chroma - second.chroma))) / _CHROMA_LEVELS
    return np.array([_structure(first, second), *halves, _gradients(first, second), lost, added, colour])


def _full_features(first: _Planes, second: _Planes) -> Vector:
    lost, added = _contrast(first, second)
    flow = float(np.mean(np.abs(first.gradient - second.gradient))) / 16
    return np.array([_structure(first, second), _gradients(first, second), lost, added, flow])


def _smaller(planes: _Planes, by: int) -> _Planes:
    size = max(1, planes.luma.shape[1] // by), max(1, planes.luma.shape[0] // by)
    luma = np.asarray(cv2.resize(planes.luma, size, interpolation=cv2.INTER_AREA), np.float32)
    mean = np.asarray(cv2.blur(luma, _WINDOW), np.float32)
    deviation = np.sqrt(np.maximum(cv2.blur(luma * luma, _WINDOW) - mean * mean, 0))
    return _Planes(luma, planes.gradient, mean, deviation, planes.chroma)


def _structure(first: _Planes, second: _Planes) -> float:
    """1 − the mean of SSIM's contrast and structure."""
    covariance = cv2.blur(first.luma * second.luma, _WINDOW) - first.mean * second.mean
    spread = first.deviation * first.deviation + second.deviation * second.deviation
    return 1 - float(np.mean((2 * covariance + _C_STRUCTURE) / (spread + _C_STRUCTURE)))


def _gradients(first: _Planes, second: _Planes) -> float:
    """1 − the mean similarity of gradient magnitudes."""
    a, b = first.gradient, second.gradient
    return 1 - float(np.mean((2 * a * b + _C_GRADIENT / 16) / (a * a + b * b + _C_GRADIENT / 16)))


def _contrast(first: _Planes, second: _Planes) -> tuple[float, float]:
    """(contrast lost, contrast added): means of the logarithm of the ratio of local deviations, by sign."""
    ratio = np.log((first.deviation + 2) / (second.deviation + 2))
    return float(np.mean(np.maximum(ratio, 0))), float(np.mean(np.maximum(-ratio, 0)))
