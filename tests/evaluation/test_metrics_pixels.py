import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from evaluation.metrics.pixels import ms_ssim, psnr, ssim
from evaluation.metrics.spectrum import CONTROLS_PX, PERIODS_PX, grid_ratio, prominence


@pytest.fixture
def rgb() -> np.ndarray:
    from skimage.data import coffee

    return np.ascontiguousarray(coffee()[:256, :320])


def test_psnr_is_skimages(rgb: np.ndarray) -> None:
    noisy = (rgb + np.random.default_rng(0).normal(0, 9, rgb.shape)).clip(0, 255).astype(np.uint8)
    assert psnr(rgb, noisy) == pytest.approx(peak_signal_noise_ratio(rgb, noisy), abs=1e-6)
    assert psnr(rgb, rgb) == math.inf


def test_one_scale_of_ms_ssim_is_skimages_ssim() -> None:
    from skimage.metrics import structural_similarity

    random = np.random.default_rng(0)
    a = random.integers(0, 256, (20, 20, 3), np.uint8)  # room for one scale only
    b = (a + random.normal(0, 20, a.shape)).clip(0, 255).astype(np.uint8)
    theirs = structural_similarity(
        a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ms_ssim(a, b) == pytest.approx(theirs, abs=1e-3)


def test_ssim_is_skimages(rgb: np.ndarray) -> None:
    from skimage.metrics import structural_similarity

    noisy = (rgb + np.random.default_rng(0).normal(0, 20, rgb.shape)).clip(0, 255).astype(np.uint8)
    theirs = structural_similarity(
        rgb, noisy, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(rgb, noisy) == pytest.approx(theirs, abs=1e-3) and ssim(rgb, rgb) == pytest.approx(1)


def test_ms_ssim_orders_pictures(rgb: np.ndarray) -> None:
    from skimage.filters import gaussian

    blurred = [(gaussian(rgb, s, channel_axis=2) * 255).astype(np.uint8) for s in (0.5, 1.5, 4)]
    values = [ms_ssim(rgb, b) for b in blurred]
    assert ms_ssim(rgb, rgb) == pytest.approx(1) and 1 > values[0] > values[1] > values[2] > 0


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (12, 12)])
def test_small_pictures(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert ms_ssim(picture, picture) == pytest.approx(1)


def test_different_shapes_are_refused(rgb: np.ndarray) -> None:
    for metric in (psnr, ssim, ms_ssim):
        with pytest.raises(ValueError, match="different shapes"):
            metric(rgb, rgb[:-1])


@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_grid_is_found_at_its_period(rgb: np.ndarray, period: int) -> None:
    grid = np.zeros(rgb.shape)
    grid[:, ::period] += 6
    grid[::period] += 6
    ratio = grid_ratio(rgb, (rgb + grid).clip(0, 255).astype(np.uint8))
    assert ratio[period] > 1.1
    controls = grid_ratio(rgb, (rgb + grid).clip(0, 255).astype(np.uint8), CONTROLS_PX)
    assert all(value < ratio[period] for value in controls.values())
    assert all(value == pytest.approx(1, abs=0.05) for value in grid_ratio(rgb, rgb).values())


def test_white_noise_has_no_grid() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    assert all(0.8 < value < 1.25 for value in prominence(noise, PERIODS_PX + CONTROLS_PX).values())
    with pytest.raises(ValueError, match="64 px"):
        prominence(noise[:40])
