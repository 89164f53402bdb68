"""How alike two images look, without any downloaded weights.

In: two uint8 RGB images of the same shape (h, w, 3). Out: a score, 1.0 for equal images. Refuses: different shapes.

Multi-scale structural similarity on luma (Wang, Simoncelli, Bovik 2003) at SCORE_SIDE_PX, with 8-pixel box windows
instead of Gaussian ones (five times faster; the scores are used only to compare and against a floor calibrated with
the same code), times a term for colour: chroma carries no structure, but a cast must cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]

SCORE_SIDE_PX = 512
TILE_PX = 32
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_WINDOW = (8, 8)
_MIN_SIDE_PX = 8
_CHROMA_SPREAD = 24.0


def worst_places(original: RGB, other: RGB) -> float:
    """How alike the worst places are, 0…1: the 2nd percentile, over tiles of TILE_PX, of luma's structural similarity.

    A mean over the image forgives one illegible line; this does not. Both are uint8 (h, w, 3).
    """
    similar = _similarity(original, other)
    tiles = max(1, original.shape[1] // TILE_PX), max(1, original.shape[0] // TILE_PX)
    return float(np.percentile(cv2.resize(similar, tiles, interpolation=cv2.INTER_AREA), 2))


def worst_of(original: RGB, other: RGB, places: Sequence[tuple[slice, slice]]) -> float:
    """How alike all but the worst tenth of `places`, (rows, columns) each, are at least, 0…1; 1 without any."""
    similar = _similarity(original, other)
    means = [float(part.mean()) for rows, columns in places if (part := similar[rows, columns]).size]
    return float(np.percentile(means, 10)) if means else 1.0


def _similarity(original: RGB, other: RGB) -> Float:
    """Luma's structural similarity at each pixel (h, w)."""
    if original.shape != other.shape:
        raise ValueError(f"cannot compare images of {original.shape} and {other.shape}")
    first, second = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (original, other))
    luminance, structure = _ssim_maps(first, second)
    return np.asarray(structure * luminance, np.float32)


def score(original: RGB, other: RGB) -> float:
    """Similarity of `other` to `original`, 0…1."""
    if original.shape != other.shape:
        raise ValueError(f"cannot compare images of {original.shape} and {other.shape}")
    scale = min(1.0, SCORE_SIDE_PX / max(original.shape[:2]))
    size = max(1, round(original.shape[1] * scale)), max(1, round(original.shape[0] * scale))
    first, second = (
        cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2YCrCb).astype(np.float32)
        for image in (original, other)
    )
    luma = _ms_ssim(np.ascontiguousarray(first[..., 0]), np.ascontiguousarray(second[..., 0]))
    small = max(1, size[0] // 8), max(1, size[1] // 8)
    chroma = [
        cv2.resize(np.ascontiguousarray(image[..., 1:]), small, interpolation=cv2.INTER_AREA)
        for image in (first, second)
    ]
    cast = float(np.mean(np.abs(chroma[0] - chroma[1])))
    return luma * float(np.exp(-cast / _CHROMA_SPREAD))


def _ms_ssim(first: Float, second: Float) -> float:
    result, weight_left = 1.0, 1.0
    for weight in _SCALE_WEIGHTS:
        last = min(first.shape) < 2 * _MIN_SIDE_PX or weight == _SCALE_WEIGHTS[-1]
        luminance, structure = _ssim(first, second)
        used = weight_left if last else weight
        result *= max(structure * luminance if last else structure, 1e-3) ** used
        weight_left -= weight
        if last:
            break
        half = first.shape[1] // 2, first.shape[0] // 2
        first, second = (
            np.asarray(cv2.resize(x, half, interpolation=cv2.INTER_AREA), np.float32) for x in (first, second)
        )
    return result


def _ssim(first: Float, second: Float) -> tuple[float, float]:
    """(luminance, contrast × structure), each averaged over the image."""
    luminance, structure = _ssim_maps(first, second)
    return float(np.mean(luminance)), float(np.mean(structure))


def _ssim_maps(first: Float, second: Float) -> tuple[Float, Float]:
    """(luminance, contrast × structure) at each pixel."""
    mean_1, mean_2 = cv2.blur(first, _WINDOW), cv2.blur(second, _WINDOW)
    variance_1 = cv2.blur(first * first, _WINDOW) - mean_1 * mean_1
    variance_2 = cv2.blur(second * second, _WINDOW) - mean_2 * mean_2
    covariance = cv2.blur(first * second, _WINDOW) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + _C1) / (mean_1 * mean_1 + mean_2 * mean_2 + _C1)
    structure = (2 * covariance + _C2) / (variance_1 + variance_2 + _C2)
    return np.asarray(luminance, np.float32), np.asarray(structure, np.float32)
