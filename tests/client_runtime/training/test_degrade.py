from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from client_runtime.training.degrade import degraded, edge_map, palette, thumbnail
from client_runtime.training.options import Mix


@pytest.fixture
def rgb(images: Path) -> np.ndarray:
    with Image.open(images / "0.png") as image:
        return np.asarray(image.convert("RGB"))


def _only(scale: float, **other: float) -> Mix:
    return Mix(scales=(scale,), scale_weights=(1.0,), **({"palette": 0.0, "blind": 0.0} | other))  # type: ignore[arg-type]


def test_the_same_random_numbers_give_the_same_conditions(rgb: np.ndarray) -> None:
    first, second = (degraded(rgb, np.random.default_rng(4), Mix()) for _ in range(2))
    assert first.seed == second.seed and np.array_equal(first.facts(), second.facts())


def test_thumbnails_have_the_codecs_artefacts(rgb: np.ndarray) -> None:
    coarse, few = thumbnail(rgb, 4, 10)
    fine, many = thumbnail(rgb, 4, 90, "4:4:4")
    assert coarse.shape == fine.shape == (20, 24, 3) and few < many
    small = np.asarray(Image.fromarray(rgb).resize((24, 20), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(small - coarse).mean() > np.abs(small - fine).mean()


def test_every_mode_is_made(rgb: np.ndarray) -> None:
    random = np.random.default_rng(0)
    thumb = degraded(rgb, random, _only(3, edges_with_thumbnail=0.0, crops=0.0))
    assert thumb.small is not None and thumb.edges is None and not thumb.crops and not thumb.is_palette
    grid = degraded(rgb, random, Mix(scale_weights=(0,) * 5, palette=1.0, blind=0.0, edges_with_palette=1.0))
    assert grid.is_palette and grid.edges is not None
    blind = degraded(rgb, random, Mix(scale_weights=(0,) * 5, palette=0.0, blind=1.0))
    assert blind.small is None and blind.edges is not None
    cropped = degraded(rgb, random, _only(4, crops=1.0))
    for r, pixels in cropped.crops:
        assert np.array_equal(pixels, rgb[r.y_px : r.y_px + r.height_px, r.x_px : r.x_px + r.width_px])
    assert len(cropped.crops) == 4


def test_palettes_and_edges_are_the_encoders(rgb: np.ndarray) -> None:
    cells, size_bytes = palette(rgb)
    assert max(cells.shape) == 32 and 30 < size_bytes < 400
    assert edge_map(rgb, 60).shape == (40, 48)
    assert edge_map(rgb, 60).sum() >= edge_map(rgb, 400).sum()


def test_tiny_images_are_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        degraded(np.zeros((8, 40, 3), np.uint8), np.random.default_rng(0), Mix())
