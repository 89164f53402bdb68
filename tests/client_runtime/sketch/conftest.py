"""Tiny random networks and bundles; a random `leave` layer makes a difference large enough to see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from client_runtime.engines.sketch.network import Shape, SketchNetwork
from proxy.bundle import Bundle, Edges, Rectangle, Salient, jbig2
from proxy.bundle.atlas import layout
from proxy.encode.pictures import avif_picture, palette, reduced

TINY = Shape(width=8, deep=8, half=8, thin=4, blocks_before=1, blocks_deep=1, blocks_after=1, blocks_half=1)


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture
def shape() -> Shape:
    return TINY


@pytest.fixture
def network(shape: Shape) -> SketchNetwork:
    torch.manual_seed(0)
    made = SketchNetwork(shape)
    torch.nn.init.normal_(made.leave.weight, std=0.3)
    torch.nn.init.normal_(made.full_noise, std=0.3)
    torch.nn.init.normal_(made.facts[0].weight)
    for module in made.modules():
        if hasattr(module, "film"):
            torch.nn.init.normal_(module.film.weight, std=0.3)
    return made


@pytest.fixture
def picture() -> Callable[[int, int], npt.NDArray[np.uint8]]:
    """A smooth colourful picture of a height and width, with a bright disc."""

    def make(height: int, width: int) -> npt.NDArray[np.uint8]:
        y, x = np.mgrid[:height, :width] / max(height, width)
        disc = (y - 0.3) ** 2 + (x - 0.4) ** 2 < 0.02
        return (255 * np.stack((x, y, 0.5 + 0.5 * np.sin(9 * x * y + 3 * disc)), 2).clip(0, 1)).astype(np.uint8)

    return make


@pytest.fixture
def bundle_of(picture: Callable[[int, int], npt.NDArray[np.uint8]]) -> Callable[..., Bundle]:
    """A bundle of such a picture; `sections` are letters: t(humbnail) p(alette) e(dges) s(alient)."""

    def make(height: int, width: int, sections: str = "t", seed: int = 1, divisor: int = 4) -> Bundle:
        rgb = picture(height, width)
        lines = np.zeros((max(1, height // 2), max(1, width // 2)), bool)
        lines[len(lines) // 2] = True
        edges = Edges(lines.shape[1], lines.shape[0], 2, False, jbig2.encode(lines, template=2))
        salient = None
        if "s" in sections:
            box = Rectangle(width // 4, height // 4, max(1, width // 3), max(1, height // 3))
            plan = layout((box,), 1)
            atlas = np.zeros((plan.height_px, plan.width_px, 3), np.uint8)
            x, y, w, h = plan.places[0]
            atlas[y : y + h, x : x + w] = 255 - rgb[box.y_px : box.y_px + h, box.x_px : box.x_px + w]
            salient = Salient((box,), 1, avif_picture(atlas, 90))
        return Bundle(
            width,
            height,
            seed,
            edges=edges if "e" in sections else None,
            palette=palette(rgb) if "p" in sections else None,
            thumbnail=avif_picture(reduced(rgb, divisor), 50) if "t" in sections else None,
            salient=salient,
        )

    return make
