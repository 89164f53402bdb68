"""Tells the same picture at other sizes and qualities again.

In: uint8 RGB (h, w, 3). Out: 128 bits of structure and 12 bytes of colour. Refuses: nothing; what has no structure
matches only what has none either, in the same colours.

A difference hash (Krawetz, "Kind of like that", 2013) of both directions, on means of 9 × 8 and 8 × 9 cells: sizes and
codecs move few of its bits. It sees no colour, and captions name colours, so that means of 2 × 2 cells go with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]

MAX_BITS = 6  # of 128 may differ
MAX_COLOUR = 14  # of 255, for every channel of every cell
_LEAST_STEP = 2.0  # of 255: smaller ones are noise, and count as none


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`bits` are 16 bytes, `colours` 12."""

    bits: bytes
    colours: bytes

    def same(self, other: Fingerprint) -> bool:
        """Whether both are of one picture."""
        differing = (int.from_bytes(self.bits, "big") ^ int.from_bytes(other.bits, "big")).bit_count()
        return differing <= MAX_BITS and all(
            abs(mine - its) <= MAX_COLOUR for mine, its in zip(self.colours, other.colours, strict=True)
        )


def fingerprint(rgb: RGB) -> Fingerprint:
    """The fingerprint of a picture."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    wide = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    tall = cv2.resize(grey, (8, 9), interpolation=cv2.INTER_AREA)
    steps = np.concatenate([np.diff(wide, axis=1).ravel(), np.diff(tall, axis=0).ravel()])
    colours = cv2.resize(rgb, (2, 2), interpolation=cv2.INTER_AREA)
    return Fingerprint(np.packbits(steps > _LEAST_STEP).tobytes(), np.asarray(colours, np.uint8).tobytes())
