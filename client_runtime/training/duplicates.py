"""Keeps images that are measured on out of the training set, also when they were scaled or coded again.

In: manifest entries. Out: 64-bit perceptual hashes, and the entries that look like none of the held-out ones.
Refuses nothing: an image that cannot be read is left out of both.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from client_runtime.training.manifest import Entry

NEAR_BITS = 8  # of 64; unrelated images differ in about 32
_SIDE = 32


def perceptual_hash(image: Image.Image) -> int:
    """The signs of the 64 lowest frequencies of the 32×32 grey image against their median (pHash, Zauner 2010)."""
    grey = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64)
    k = np.arange(_SIDE)
    cosines = np.cos(np.pi * (k[None] + 0.5) * k[:9, None] / _SIDE)
    low = (cosines @ grey @ cosines.T)[1:9, 1:9].ravel()
    return int("".join("1" if bit else "0" for bit in low > np.median(low)), 2)


def without_duplicates(candidates: Sequence[Entry], held_out: Iterable[Entry]) -> tuple[list[Entry], list[Entry]]:
    """(entries to keep, entries that look like one of `held_out`, upright or mirrored)."""
    known = [h for entry in held_out for h in _hashes(entry)]
    if not known:
        return list(candidates), []
    table = np.array(known, np.uint64)
    keep: list[Entry] = []
    dropped: list[Entry] = []
    for entry in candidates:
        hashes = _hashes(entry)[:1]
        if hashes:
            (dropped if _near(hashes[0], table) else keep).append(entry)
    return keep, dropped


def _hashes(entry: Entry) -> list[int]:
    try:
        with Image.open(io.BytesIO(entry.read())) as image:
            image.draft("L", (64, 64))
            upright = image.convert("L")
            return [perceptual_hash(upright), perceptual_hash(upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT))]
    except OSError:
        return []


def _near(found: int, table: npt.NDArray[np.uint64]) -> bool:
    return bool((np.bitwise_count(table ^ np.uint64(found)) <= NEAR_BITS).any())
