"""Our own bundles within a budget of bytes, drawn by an engine.

In: uint8 RGB of shape (h, w, 3), a budget, a way to draw bundles. Out: one `Coded` per scale and mode that fits.
Refuses nothing. Sizes are those of packed bundles, seed, checksum and all, without the digest of an original.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from evaluation.codecs import Coded
from proxy.bundle import Bundle, pack
from proxy.encode.edges import edges_within
from proxy.encode.pictures import FINAL_SPEED, avif_picture, best_quality, reduced

RGB = npt.NDArray[np.uint8]
Draw = Callable[[Sequence[Bundle]], list[RGB]]
SCALES = (2, 3, 4, 6)
EDGE_SHARE = 0.35  # of the budget, in the mode with edges
SEED = 1


def bundles_within(
    rgb: RGB, budget_bytes: int, scales: tuple[int, ...] = SCALES, edges: bool = False
) -> Iterator[tuple[str, Bundle, int]]:
    """(setting, bundle, packed bytes) of the best thumbnail at every scale in at most `budget_bytes`."""
    height, width = rgb.shape[:2]
    frame = Bundle(width, height, SEED)
    drawn = edges_within(rgb, int(EDGE_SHARE * budget_bytes)) if edges else None
    if edges and drawn is None:
        return
    frame = replace(frame, edges=drawn)
    for scale in scales:
        small = reduced(rgb, scale)
        smallest = avif_picture(small, 60, 10)
        head = len(pack(replace(frame, thumbnail=smallest))) - len(smallest.payload)
        picture, quality = best_quality(lambda q, s=small: avif_picture(s, q, FINAL_SPEED), budget_bytes - head)  # type: ignore[misc]
        bundle = replace(frame, thumbnail=picture)
        size = len(pack(bundle))
        if size <= budget_bytes:
            yield f"÷{scale} q{quality}{' +edges' if edges else ''}", bundle, size


def coded(family: str, draw: Draw, made: Sequence[tuple[str, Bundle, int]]) -> Iterator[Coded]:
    """Draw the bundles of `bundles_within`."""
    for setting, bundle, size in made:
        yield Coded(family, setting, size, draw([bundle])[0])
