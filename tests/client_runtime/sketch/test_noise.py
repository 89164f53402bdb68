import numpy as np

from client_runtime.engines.sketch.noise import PERIOD_PX, window


def test_overlapping_windows_agree() -> None:
    assert np.array_equal(window(7, 0, 0, 40, 40)[8:, 16:], window(7, 8, 16, 32, 24))


def test_depends_on_the_seed_alone() -> None:
    assert np.array_equal(window(7, 0, 0, 16, 16), window(7, 0, 0, 16, 16))
    assert not np.array_equal(window(7, 0, 0, 16, 16), window(8, 0, 0, 16, 16))


def test_known_values_never_change() -> None:
    first = np.random.Generator(np.random.Philox(key=3)).standard_normal((PERIOD_PX, PERIOD_PX), np.float32)
    assert np.array_equal(window(3, PERIOD_PX + 2, 5, 4, 4), first[2:6, 5:9])
