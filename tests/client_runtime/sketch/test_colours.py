import numpy as np

from client_runtime.engines.sketch.colours import match


def test_a_colour_cast_is_removed() -> None:
    small = np.full((20, 30, 3), (200, 100, 50), np.uint8)
    drawn = np.full((80, 120, 3), (0.5, 0.5, 0.5), np.float32)
    assert np.abs(match(drawn, small, False) * 255 - (200, 100, 50)).max() < 0.1


def test_detail_stays() -> None:
    detail = np.random.default_rng(0).normal(0, 0.1, (80, 120, 3)).astype(np.float32)
    small = np.full((20, 30, 3), 128, np.uint8)
    out = match(128 / 255 + detail, small, False)
    assert np.corrcoef(out.ravel(), detail.ravel())[0, 1] > 0.97


def test_tiny_pictures() -> None:
    out = match(np.zeros((1, 1, 3), np.float32), np.full((32, 32, 3), 255, np.uint8), True)
    assert out.shape == (1, 1, 3) and np.allclose(out, 1, atol=1e-5)
