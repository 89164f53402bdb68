"""Similarity at a given saving: budgets are kept, misses count as 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from evaluation.at_savings import Found, best_within, summary
from proxy.bundle import Bundle
from proxy.bundle.preview import render


class _ByPixels:
    """Stands in for the metric: 1 for equal pictures, less with their difference."""

    def against(self, true: npt.NDArray[np.uint8]) -> None:
        self.true = true

    def __call__(self, drawn: npt.NDArray[np.uint8], names: Sequence[str]) -> dict[str, float]:
        return {"vgg16": 1 - float(np.abs(drawn.astype(int) - self.true).mean()) / 255}


def _draw(bundles: Sequence[Bundle]) -> list[npt.NDArray[np.uint8]]:
    return [render(bundle) for bundle in bundles]


def _photograph(path: Path) -> Path:
    ramp = np.add.outer(np.arange(240), np.arange(320))
    noise = np.random.default_rng(1).integers(0, 24, (240, 320, 3))
    Image.fromarray(np.clip(ramp[..., None] / 3 + noise, 0, 255).astype(np.uint8)).save(path)
    return path


def test_the_budget_is_kept(tmp_path: Path) -> None:
    path = _photograph(tmp_path / "a.png")
    found = best_within(path, 0.99, 1600, _ByPixels(), _draw)  # type: ignore[arg-type]
    assert 0 < found.bundle_bytes <= 0.01 * path.stat().st_size
    assert 0.9 < found.similarity < 1


def test_a_budget_that_holds_nothing_counts_as_zero(tmp_path: Path) -> None:
    path = _photograph(tmp_path / "a.png")
    assert best_within(path, 0.99999, 1600, _ByPixels(), _draw).similarity == 0  # type: ignore[arg-type]


def test_the_summary() -> None:
    found = [Found("a", 1000, 20, "÷2", 0.9), Found("b", 1000, 30, "÷2", 0.8), Found("c", 2000, 0, "none fits", 0.0)]
    totals = summary(found)
    assert totals["median"] == 0.8
    assert totals["share_at_goal"] == pytest.approx(1 / 3)
    assert totals["saved"] == pytest.approx(1 - 2050 / 4000)
    with pytest.raises(ValueError, match="at least 2"):
        summary(found[:1])
