"""Night skies, drawn: training pictures of photographs that look least like one, for the shards hold none.

In: a number, the seed. Out: uint8 RGB (h, w, 3): stars, galaxies and perhaps a nebula on black, with a sensor's noise.
Refuses: nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
_REACH = 4  # spreads at which a spot has ended


def made_stars(number: int) -> RGB:
    """The sky with this number."""
    random = np.random.default_rng(number)
    height, width = int(random.integers(320, 560)), int(random.integers(400, 640))
    sky = np.full((height, width, 3), random.uniform(2, 20, 3))
    if random.random() < 0.4:
        sky += _nebula(random, height, width)
    for _ in range(int(np.exp(random.uniform(np.log(150), np.log(4000))))):
        _spot(sky, random, random.uniform(0.5, 1.4), 1.0, min(12 * random.pareto(1.1) + 8, 260))
    for _ in range(int(random.integers(0, 90))):
        _spot(sky, random, random.uniform(1.2, 7), random.uniform(0.2, 1.0), random.uniform(20, 220))
    sky += random.normal(0, random.uniform(0.5, 4), sky.shape)
    return np.asarray(sky.clip(0, 255), np.uint8)


def _spot(sky: Floats, random: np.random.Generator, spread_px: float, roundness: float, brightness: float) -> None:
    """Add a Gaussian spot of some warm or cold colour, anywhere."""
    height, width = sky.shape[:2]
    x, y, turn = random.uniform(0, width), random.uniform(0, height), random.uniform(0, np.pi)
    reach = int(_REACH * spread_px) + 1
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    rows, columns = np.ogrid[top : min(height, int(y) + reach + 1), left : min(width, int(x) + reach + 1)]
    along = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
    across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
    shape = np.exp(-(along**2 + (across / roundness) ** 2) / (2 * spread_px**2))
    warmth = random.uniform(-0.4, 0.4)
    colour = brightness * np.array([1 + warmth, 1.0, 1 - warmth])
    sky[top:, left:][: len(rows), : columns.shape[1]] += shape[..., None] * colour


def _nebula(random: np.random.Generator, height: int, width: int) -> Floats:
    """Clouds of one colour: noise of a few cells, enlarged."""
    cells = random.random((int(random.integers(3, 8)), int(random.integers(3, 8)))) ** 3
    clouds = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(clouds[..., None] * random.uniform(20, 130, 3))
