from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.engines.sketch.tiles import Canvas, windows


@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from((128, 160, 256)))
def test_windows_cover_everything_and_overlap(height: int, width: int, limit: int) -> None:
    found = windows(height, width, limit, 32, 16)
    assert len({(w.rows, w.columns) for w in found}) == 1
    covered = np.zeros((height, width), int)
    for w in found:
        assert w.rows <= limit and w.columns <= limit
        assert w.top % 16 == w.left % 16 == w.rows % 16 == w.columns % 16 == 0
        covered[w.top : w.top + w.rows, w.left : w.left + w.columns] += 1
    assert covered.min() >= 1
    tops = sorted({w.top for w in found})
    assert all(b - a <= found[0].rows - 32 for a, b in pairwise(tops))


def test_small_pictures_are_one_window() -> None:
    (only,) = windows(100, 33, 128, 32, 32)
    assert (only.top, only.left, only.rows, only.columns) == (0, 0, 128, 64)


@pytest.mark.parametrize("size", [(300, 200), (97, 411), (1, 1)])
def test_blending_equal_windows_changes_nothing(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).random((*size, 3), np.float32)
    padded = np.pad(picture, ((0, 128), (0, 128), (0, 0)))
    canvas = Canvas(*size, 32)
    for w in windows(*size, 128, 32, 32):
        canvas.put(w, padded[w.top : w.top + w.rows, w.left : w.left + w.columns])
    assert np.abs(canvas.picture() - picture).max() < 1e-6


def test_a_step_between_windows_becomes_a_ramp() -> None:
    canvas = Canvas(32, 200, 32)
    for number, w in enumerate(windows(32, 200, 128, 32, 32)):
        canvas.put(w, np.full((w.rows, w.columns, 3), float(number), np.float32))
    row = canvas.picture()[0, :, 0]
    assert row[0] == 0 and row[-1] == 1
    assert np.abs(np.diff(row)).max() < 0.05
