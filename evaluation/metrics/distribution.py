"""How far the look of drawn pictures, as a set, is from that of true ones: Fréchet and kernel distance of patches.

In: VGG16 features of patches, (n, d). Out: a distance, 0 for equal sets. Refuses: sets that are too small to say
anything (`ValueError`, with how many it takes).

Fréchet distance: Heusel et al. 2017; kernel distance: Bińkowski et al. 2018, with its cubic kernel, unbiased. Both
are usually computed on Inception features. These are VGG16's pool5 averaged over space, of PATCH_PX squares, so the
values can be compared with each other and with nothing published; reports call them VGG16 patch FID and KID.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

PATCH_PX = 64
MAX_PATCHES = 32  # of one image
MIN_FRECHET_PER_DIMENSION = 2  # below, a covariance cannot be estimated
MIN_KERNEL = 256


def patches(rgb: RGB, limit: int = MAX_PATCHES) -> npt.NDArray[np.uint8]:
    """At most `limit` squares of PATCH_PX that do not overlap, evenly spread: (n, side, side, 3)."""
    rows, columns = rgb.shape[0] // PATCH_PX, rgb.shape[1] // PATCH_PX
    places = [(row, column) for row in range(rows) for column in range(columns)]
    chosen = [places[index * len(places) // limit] for index in range(limit)] if len(places) > limit else places
    if not chosen:
        return np.zeros((0, PATCH_PX, PATCH_PX, 3), np.uint8)
    return np.stack([rgb[r * PATCH_PX : (r + 1) * PATCH_PX, c * PATCH_PX : (c + 1) * PATCH_PX] for r, c in chosen])


def frechet(true: Features, drawn: Features) -> float:
    """Squared 2-Wasserstein distance of the Gaussians with the sets' means and covariances. Raises ValueError."""
    least = MIN_FRECHET_PER_DIMENSION * true.shape[1]
    if min(len(true), len(drawn)) < least:
        raise ValueError(f"{min(len(true), len(drawn))} patches; a Fréchet distance needs {least}")
    a, b = true.astype(np.float64), drawn.astype(np.float64)
    shift = a.mean(0) - b.mean(0)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = _root(first)
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    return max(0.0, float(shift @ shift + np.trace(first) + np.trace(second) - 2 * shared))


def kernel(true: Features, drawn: Features) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x·y/d + 1)³; can be below 0. Raises ValueError."""
    if min(len(true), len(drawn)) < MIN_KERNEL:
        raise ValueError(f"{min(len(true), len(drawn))} patches; a kernel distance needs {MIN_KERNEL}")
    return unbiased(true, drawn)


def unbiased(true: Features, drawn: Features) -> float:
    """The estimate of `kernel`, for sets of any size from 2."""
    a, b = true.astype(np.float64), drawn.astype(np.float64)
    inside = [(np.sum(m) - np.trace(m)) / (len(m) * (len(m) - 1)) for m in (_cubic(a, a), _cubic(b, b))]
    return float(inside[0] + inside[1] - 2 * _cubic(a, b).mean())


def _cubic(a: Matrix, b: Matrix) -> Matrix:
    return np.asarray((a @ b.T / a.shape[1] + 1) ** 3, np.float64)


def _root(covariance: Matrix) -> Matrix:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T, np.float64)
