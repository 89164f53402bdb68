"""Noise that depends on nothing but the seed and the position, so that the same bundle gives the same picture.

In: a seed and a window of the picture. Out: float32 standard normal noise of that window. Refuses nothing.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

PERIOD_PX = 512  # the field repeats; it is far too weak and irregular for the repetition to be seen


def window(seed: int, top: int, left: int, rows: int, columns: int) -> npt.NDArray[np.float32]:
    """(rows, columns) of the endless field of `seed`; overlapping windows agree. Philox, Salmon et al. 2011."""
    field = _field(seed)
    down = np.arange(top, top + rows) % PERIOD_PX
    right = np.arange(left, left + columns) % PERIOD_PX
    return field[np.ix_(down, right)]


@lru_cache(maxsize=4)
def _field(seed: int) -> npt.NDArray[np.float32]:
    field = np.random.Generator(np.random.Philox(key=seed)).standard_normal((PERIOD_PX, PERIOD_PX), np.float32)
    field.flags.writeable = False
    return field
