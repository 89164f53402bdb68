"""Many encodings of one picture by every family: the points of its rate–distortion curves.

In: uint8 RGB (h, w, 3), the engines to draw with, the range of rates. Out: `Coded`s by family. Refuses nothing: what is
over the highest rate is left out.

A family is a codec at all its scales (÷1, 2, 4, 8, Lanczos back up) and levels, or our bundles at all theirs, drawn by
one engine; its curve is the best that any of them does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from evaluation import drawn
from evaluation.codecs import CODECS, Coded, coded, reduced
from evaluation.ours import bundles_within

RGB = npt.NDArray[np.uint8]
SCALES = (1, 2, 4, 8)
RATES_BPP = (0.015, 0.03, 0.06, 0.12, 0.24, 0.4)
MAX_BPP = RATES_BPP[-1]
LEVELS = {"webp": (0, 8, 20, 40, 65), "avif": (8, 20, 32, 44, 58), "jpegxl": (0, 15, 30, 50, 70)}
ANCHORS = ("webp", "avif", "jpegxl")


def classical(rgb: RGB) -> Iterator[tuple[str, Coded]]:
    """(family, encoding) of every codec, scale and level up to MAX_BPP."""
    height, width = rgb.shape[:2]
    limit = MAX_BPP * width * height / 8
    for scale in SCALES:
        small = reduced(rgb, scale)
        for codec in CODECS:
            family = codec.name.partition("-")[0]
            for level in LEVELS[family]:
                data = codec.encode(small, level)
                if len(data) > limit:
                    break
                yield family, coded(codec, data, f"{codec.name} ÷{scale} level {level}", width, height)


def ours(rgb: RGB, engines: Sequence[str]) -> Iterator[tuple[str, Coded]]:
    """(engine, encoding) of the best thumbnail at every scale for every rate."""
    pixels = rgb.shape[0] * rgb.shape[1]
    seen: set[str] = set()
    for rate in RATES_BPP:
        for setting, bundle, size in bundles_within(rgb, int(rate * pixels / 8)):
            if setting in seen:
                continue
            seen.add(setting)
            for engine in engines:
                result = drawn.draw(engine, bundle)
                if result is not None:
                    yield engine, Coded(engine, setting, size, result.picture)
