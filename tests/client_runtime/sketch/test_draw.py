from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from client_runtime.engines.sketch.conditions import from_bundle
from client_runtime.engines.sketch.draw import Sketcher
from client_runtime.engines.sketch.network import SketchNetwork
from proxy.bundle import Bundle, BundleError, Picture, pixels

Make = Callable[..., Bundle]
CPU = torch.device("cpu")


@pytest.fixture
def sketcher(network: SketchNetwork) -> Sketcher:
    return Sketcher(network, CPU, torch.float32)


@pytest.mark.parametrize("sections", ["t", "p", "e", "te", "pe", "ts", "tpes", "es"])
def test_every_mode(sketcher: Sketcher, bundle_of: Make, sections: str) -> None:
    (drawn,) = sketcher.draw([bundle_of(48, 70, sections)])
    assert drawn.shape == (48, 70, 3) and drawn.dtype == np.uint8


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (2, 2), (31, 33), (65, 7)])
def test_odd_sizes(sketcher: Sketcher, bundle_of: Make, size: tuple[int, int]) -> None:
    (drawn,) = sketcher.draw([bundle_of(*size)])
    assert drawn.shape == (*size, 3)


def test_the_same_bundle_gives_the_same_picture(sketcher: Sketcher, bundle_of: Make) -> None:
    first, second = sketcher.draw([bundle_of(64, 64)]), sketcher.draw([bundle_of(64, 64)])
    assert np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], sketcher.draw([bundle_of(64, 64, seed=2)])[0])


def test_threads_change_almost_nothing(sketcher: Sketcher, bundle_of: Make) -> None:
    torch.set_num_threads(1)
    alone = sketcher.draw([bundle_of(96, 128)])[0].astype(int)
    torch.set_num_threads(2)
    assert np.abs(sketcher.draw([bundle_of(96, 128)])[0] - alone).max() <= 2


def test_a_batch_of_different_sizes_is_drawn_as_one_by_one(sketcher: Sketcher, bundle_of: Make) -> None:
    bundles = [bundle_of(40, 64), bundle_of(33, 64, "pe"), bundle_of(40, 64, seed=5)]
    for together, bundle in zip(sketcher.draw(bundles), bundles, strict=True):
        assert np.array_equal(together, sketcher.draw([bundle])[0])


def test_tiles_leave_no_seam(network: SketchNetwork, bundle_of: Make) -> None:
    told = from_bundle(bundle_of(300, 420), 1024)
    (whole,) = Sketcher(network, CPU, torch.float32).draw_conditions([told])
    (tiled,) = Sketcher(network, CPU, torch.float32, tile_px=256).draw_conditions([told])
    difference = np.abs(whole - tiled) * 255
    assert difference.mean() < 0.5 and np.percentile(difference, 99.9) < 4
    assert np.abs(np.diff(tiled - whole, axis=1)).max() * 255 < 4


def test_crops_are_exact_inside_their_seam(sketcher: Sketcher, bundle_of: Make) -> None:
    bundle = bundle_of(96, 120, "ts")
    assert bundle.salient is not None
    (box,), (crop,) = bundle.salient.rectangles, pixels.crops(bundle.salient)
    inside = sketcher.draw([bundle])[0][box.y_px : box.y_px + box.height_px, box.x_px : box.x_px + box.width_px]
    assert np.array_equal(inside[8:-8, 8:-8], crop[8:-8, 8:-8])


def test_colours_are_those_sent(sketcher: Sketcher, bundle_of: Make) -> None:
    bundle = bundle_of(128, 128)
    assert bundle.thumbnail is not None
    sent = pixels.picture_rgb(bundle.thumbnail).astype(float)
    drawn = sketcher.draw([bundle])[0].reshape(32, 4, 32, 4, 3).mean((1, 3))
    blocks = [np.abs((sent - drawn)[y : y + 8, x : x + 8].mean((0, 1))).max() for y in (0, 12, 24) for x in (0, 12, 24)]
    assert max(blocks) < 4


def test_large_pictures_are_enlarged(network: SketchNetwork, bundle_of: Make) -> None:
    (drawn,) = Sketcher(network, CPU, torch.float32, draw_side_px=64).draw([bundle_of(150, 100)])
    assert drawn.shape == (150, 100, 3)


def test_half_precision_is_close(network: SketchNetwork, bundle_of: Make) -> None:
    full = Sketcher(network, CPU, torch.float32).draw([bundle_of(64, 64)])[0].astype(int)
    half = Sketcher(network, CPU, torch.bfloat16).draw([bundle_of(64, 64)])[0]
    assert np.abs(full - half).mean() < 2


def test_broken_thumbnails_are_refused(sketcher: Sketcher, bundle_of: Make) -> None:
    good = bundle_of(32, 32)
    assert good.thumbnail is not None
    t = good.thumbnail
    with pytest.raises(BundleError):
        sketcher.draw([Bundle(32, 32, thumbnail=Picture(t.coding, t.width_px, t.height_px, t.payload[:-20]))])
