"""Frames keep a picture's shape, memory is counted, and times are remembered."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.engines.diffusion.frames import frame
from client_runtime.engines.diffusion.memory import Guard, free_bytes
from client_runtime.engines.diffusion.pace import Pace
from client_runtime.engines.diffusion.steps import total_steps

BUCKETS = ((512, 512), (576, 448), (448, 576), (704, 384), (384, 704))
SIDES = st.integers(1, 20_000)


@given(SIDES, SIDES)
def test_every_picture_has_a_place_of_its_own_shape(width: int, height: int) -> None:
    f = frame(width, height, BUCKETS)
    assert (f.width_px, f.height_px) in BUCKETS
    assert 0 <= f.left_px <= f.width_px - f.inner_width_px and 0 <= f.top_px <= f.height_px - f.inner_height_px
    assert f.inner_width_px == f.width_px or f.inner_height_px == f.height_px
    longer, shorter = max(f.inner_width_px, f.inner_height_px), min(f.inner_width_px, f.inner_height_px)
    assert abs(shorter - max(1, longer * min(width, height) / max(width, height))) <= 1
    picture = np.random.default_rng(0).random((f.inner_height_px, f.inner_width_px, 3), np.float32)
    padded = f.pad(picture)
    assert padded.shape == (f.height_px, f.width_px, 3) and np.array_equal(f.cut(padded), picture)


@pytest.mark.parametrize(
    ("size", "bucket"),
    [((640, 640), (512, 512)), ((640, 480), (576, 448)), ((480, 640), (448, 576)), ((1920, 1080), (704, 384))],
)
def test_the_bucket_is_the_one_it_fills_best(size: tuple[int, int], bucket: tuple[int, int]) -> None:
    f = frame(*size, BUCKETS)
    assert (f.width_px, f.height_px) == bucket


@given(st.integers(1, 50), st.floats(0.05, 1.0))
def test_as_many_steps_are_taken_as_the_profile_says(steps: int, strength: float) -> None:
    total = total_steps(steps, strength)
    assert int(total * strength) >= steps and int((total - 2) * strength) < steps
    assert total_steps(steps, 1.0) == steps


def test_free_memory_of_this_machine_is_known() -> None:
    free = free_bytes(torch.device("cpu"))
    assert free is not None and 1 << 20 < free < 1 << 50


def test_where_nobody_knows_everything_fits() -> None:
    assert Guard(torch.device("cpu"), lambda device: None).fits(9, 1 << 30) == 9


def test_what_was_always_too_slow_is_not_begun_but_tried_now_and_then() -> None:
    pace = Pace()
    assert not pace.hopeless("512", 1.0), "never measured"
    for seconds in (5.0, 3.0, 9.0):
        pace.took("512", seconds)
    assert not pace.hopeless("512", 3.5) and not pace.hopeless("768", 0.1)
    tried = [not pace.hopeless("512", 2.0) for _ in range(32)]
    assert sum(tried) == 2
    pace.took("512", 1.0)  # the machine has become quicker
    assert not pace.hopeless("512", 2.0)
