"""Distances that need no network: PSNR, SSIM and MS-SSIM.

In: two uint8 RGB arrays of shape (h, w, 3). Out: a float. Refuses: arrays of different shapes (`ValueError`).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_WINDOW, _SIGMA = 11, 1.5


def psnr(true: RGB, drawn: RGB) -> float:
    """Peak signal-to-noise ratio in dB over all channels; infinite for equal pictures."""
    _same(true, drawn)
    error = float(np.mean((true.astype(np.float64) - drawn.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(true: RGB, drawn: RGB) -> float:
    """Structural similarity (Wang et al. 2004) with 11×11 Gaussian windows, mean of the three channels; 1 for equal."""
    _same(true, drawn)
    luminance, contrast = _ssim(true.astype(np.float64), drawn.astype(np.float64))
    return float((luminance * contrast).mean())


def ms_ssim(true: RGB, drawn: RGB) -> float:
    """Multi-scale structural similarity (Wang et al. 2003), mean of the three channels' luminance, at most five scales.

    Small pictures get as many scales as leave at least one 11×11 window; their weights are scaled to sum to 1.
    """
    _same(true, drawn)
    scales = max(1, min(5, int(math.log2(max(1, min(true.shape[:2]) / _WINDOW))) + 1))
    weights = np.array(_WEIGHTS[:scales]) / sum(_WEIGHTS[:scales])
    a, b = true.astype(np.float64), drawn.astype(np.float64)
    product = np.ones(3)
    for scale, weight in enumerate(weights):
        luminance, contrast = _ssim(a, b)
        factor = luminance * contrast if scale == scales - 1 else contrast
        product *= np.maximum(factor.reshape(-1, 3).mean(0), 0) ** weight
        a, b = _half(a), _half(b)
    return float(product.mean())


def _ssim(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """(luminance, contrast × structure) maps, borders cut where the window does not fit."""
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    shared = _blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return luminance, (2 * shared + _C2) / (var_a + var_b + _C2)


def _blur(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    blurred = np.asarray(cv2.GaussianBlur(x, (_WINDOW, _WINDOW), _SIGMA), np.float64)
    cut_y, cut_x = (min(_WINDOW // 2, (side - 1) // 2) for side in x.shape[:2])
    return blurred[cut_y : x.shape[0] - cut_y, cut_x : x.shape[1] - cut_x]


def _half(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    height, width = max(1, x.shape[0] // 2), max(1, x.shape[1] // 2)
    even = x[: max(1, height * 2), : max(1, width * 2)]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.float64).reshape(
        height, width, 3
    )


def _same(true: RGB, drawn: RGB) -> None:
    if true.shape != drawn.shape:
        raise ValueError(f"pictures of different shapes: {true.shape} and {drawn.shape}")
