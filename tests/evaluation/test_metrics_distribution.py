from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics.distribution import MIN_KERNEL, PATCH_PX, frechet, kernel, patches, unbiased


def _features(seed: int, count: int, mean: float = 0.0, spread: float = 1.0, size: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, spread, (count, size)).astype(np.float32)


def test_the_frechet_distance_of_gaussians_is_the_closed_form() -> None:
    """For N(m1, s1² I) and N(m2, s2² I): |m1 − m2|² + d (s1 − s2)²."""
    a, b = _features(1, 60_000), _features(2, 60_000, 0.5, 2.0)
    assert frechet(a, b) == pytest.approx(3 * 0.25 + 3 * 1.0, rel=0.03)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_the_frechet_distance_sees_correlations() -> None:
    """Equal variances, opposite correlation: d² = 4 − 4 √(1 − r²)."""
    a = np.random.default_rng(3).multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 60_000).astype(np.float32)
    assert frechet(a, a * np.array([1, -1], np.float32)) == pytest.approx(4 - 4 * 0.6, rel=0.03)


def test_the_kernel_distance_is_its_definition() -> None:
    a, b = _features(4, 7), _features(5, 6, 0.7)

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return (float(x @ y) / 3 + 1) ** 3

    inside = [np.mean([k(m[i], m[j]) for i in range(len(m)) for j in range(len(m)) if i != j]) for m in (a, b)]
    across = np.mean([k(x, y) for x in a for y in b])
    assert unbiased(a, b) == pytest.approx(inside[0] + inside[1] - 2 * across, rel=1e-5)


def test_the_kernel_distance_of_one_distribution_is_about_nothing() -> None:
    same = kernel(_features(6, 2000), _features(7, 2000))
    assert abs(same) < 0.05 < kernel(_features(6, 2000), _features(8, 2000, 0.5))


def test_small_sets_are_refused_with_what_it_takes() -> None:
    with pytest.raises(ValueError, match="5 patches; a Fréchet distance needs 6"):
        frechet(_features(1, 5), _features(2, 9))
    with pytest.raises(ValueError, match=str(MIN_KERNEL)):
        kernel(_features(1, 255), _features(2, 999))


def test_patches_do_not_overlap_and_are_spread() -> None:
    picture = np.arange(3 * PATCH_PX * 4 * PATCH_PX * 3, dtype=np.uint32).reshape(3 * PATCH_PX, 4 * PATCH_PX, 3)
    found = patches(picture.astype(np.uint8), 5)
    assert found.shape == (5, PATCH_PX, PATCH_PX, 3)
    numbered = np.arange(12).repeat(PATCH_PX * PATCH_PX).reshape(12, PATCH_PX, PATCH_PX)
    grid = np.block([[numbered[r * 4 + c] for c in range(4)] for r in range(3)])
    whole = patches(np.stack([grid] * 3, 2).astype(np.uint8), 99)
    assert [int(p.mean()) for p in whole] == list(range(12))
    assert patches(picture[: PATCH_PX - 1].astype(np.uint8)).shape[0] == 0
