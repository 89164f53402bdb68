from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from client_runtime.engines.sketch.conditions import FACTS, Conditions, from_bundle
from proxy.bundle import Bundle, Rectangle

Make = Callable[..., Bundle]


def test_windows_are_parts_of_the_whole() -> None:
    random = np.random.default_rng(0)
    small, edges = random.integers(0, 256, (40, 30, 3), np.uint8), random.random((80, 60)) > 0.8
    crop = random.integers(0, 256, (30, 41, 3), np.uint8)
    told = Conditions(120, 160, 5, small, 900, False, edges, ((Rectangle(33, 50, 41, 30), crop),))
    whole, part = told.window(0, 0, 160, 120), told.window(32, 16, 64, 96)
    for name, step in (("colour", 1), ("edges", 2), ("mask", 2), ("noise", 1)):
        there = getattr(whole, name)[:, 32 // step : 96 // step, 16 // step : 112 // step]
        assert np.abs(getattr(part, name) - there).max() < 1e-6, name
    assert np.array_equal(np.rint(whole.colour[:, 50:80, 33:74] * 255), crop.transpose(2, 0, 1))
    assert whole.mask[0, 25:40, 17:37].all() and whole.mask.sum() == 15 * 20


def test_facts_tell_the_sections_apart(bundle_of: Make) -> None:
    facts = {
        sections: from_bundle(bundle_of(64, 96, sections), 1024).facts()
        for sections in ("t", "p", "e", "te", "ts", "pe")
    }
    assert all(f.shape == (FACTS,) and np.isfinite(f).all() for f in facts.values())
    assert len({tuple(f.tolist()) for f in facts.values()}) == len(facts)
    assert facts["t"][0] == 1 and facts["t"][1] == 0 and facts["p"][1] == 1 and facts["e"][0] == 0


def test_without_colours_everything_is_grey(bundle_of: Make) -> None:
    planes = from_bundle(bundle_of(64, 64, "e"), 1024).window(0, 0, 64, 64)
    assert (planes.colour == 0.5).all()
    assert planes.edges[0, 16].all() and planes.edges.sum() == 32


def test_large_pictures_are_drawn_smaller(bundle_of: Make) -> None:
    told = from_bundle(bundle_of(300, 200, "ts"), 100)
    assert (told.height_px, told.width_px) == (100, 67)
    ((rectangle, crop),) = told.crops
    assert crop.shape == (rectangle.height_px, rectangle.width_px, 3)
    assert rectangle.y_px + rectangle.height_px <= 100 and rectangle.x_px + rectangle.width_px <= 67


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 5)])
def test_any_size(bundle_of: Make, size: tuple[int, int]) -> None:
    planes = from_bundle(bundle_of(*size, "tes"), 1024).window(0, 0, 32, 32)
    assert np.isfinite(planes.colour).all() and planes.colour.shape == (3, 32, 32)
