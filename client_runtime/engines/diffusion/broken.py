"""Tells pictures that came out broken: not a number, or black, as overflowing half-precision decoders draw.

In: a drawn picture, and the small picture that was sent, if one was. Out: nothing. Refuses: broken ones
(`EngineFailed`), unless what was sent is as dark.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from client_runtime.engines.base import EngineFailed, Fallback

_BLACK = 6 / 255
_DARK = 24 / 255
_FLAT = 0.5 / 255


def check(picture: npt.NDArray[np.float32], sent: npt.NDArray[np.uint8] | None) -> None:
    """Raises EngineFailed when `picture` (height, width, 3), about 0 to 1, shows nothing. `sent` is uint8."""
    if not np.isfinite(picture).all():
        raise EngineFailed("the model drew no numbers (NaN or infinite)", Fallback.BROKEN_IMAGE)
    expected = None if sent is None else float(sent.mean()) / 255
    if picture.max() < _BLACK and (expected is None or expected > _DARK):
        raise EngineFailed("the model drew a black picture", Fallback.BROKEN_IMAGE)
    if picture.std() < _FLAT and (sent is None or float(sent.std()) / 255 > _DARK):
        raise EngineFailed("the model drew a picture of one colour", Fallback.BROKEN_IMAGE)
