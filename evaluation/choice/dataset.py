"""The images of the evaluation, scaled, and the two halves they fall into.

In: a folder of images. Out: `Example`s, each in the calibration half or the held-out half by a hash of its file name.
Refuses: folders without images (`ValueError`); files that are no still images are left out.

The split is by name, so that it stays the same when images are added or a run takes only some of them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.modes import images_in, scaled

RGB = npt.NDArray[np.uint8]
SIDE_PX = 640
JPEG_QUALITY = 82


@dataclass(frozen=True, slots=True)
class Example:
    """One image: `data` is a lossless file of it at its evaluated size, `served` what a site would send for it."""

    name: str
    data: bytes
    served: bytes


def held_out(name: str) -> bool:
    """Whether the image of this file name is kept from calibration."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def examples(folder: Path, *, held: bool | None = None, limit: int = 0, side_px: int = SIDE_PX) -> Iterator[Example]:
    """The images below `folder`, of one half or (None) of both, in the order of their names' hashes.

    With `limit`, the first so many: a fair sample, since the order has nothing to do with the content.
    """
    files = sorted(images_in(folder), key=lambda path: hashlib.sha256(path.name.encode()).digest()[1:])
    count = 0
    for path in files:
        if held is not None and held_out(path.name) is not held:
            continue
        made = _example(path, side_px)
        if made is not None:
            yield made
            count += 1
            if limit and count >= limit:
                return


def pixels(data: bytes) -> RGB:
    """The image of an `Example` as uint8 RGB (h, w, 3); transparency on white."""
    with Image.open(io.BytesIO(data)) as image:
        rgba = image.convert("RGBA")
        flat = Image.new("RGBA", rgba.size, "white")
        flat.alpha_composite(rgba)
        return np.asarray(flat.convert("RGB"))


def _example(path: Path, side_px: int) -> Example | None:
    original = path.read_bytes()
    data = scaled(original, side_px)
    try:
        with Image.open(io.BytesIO(original)) as image:
            if getattr(image, "is_animated", False):
                return None
            kind = str(image.format)
        with Image.open(io.BytesIO(data)) as image:
            return Example(path.name, data, original if data == original else _as_it_would_be(image, kind))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _as_it_would_be(image: Image.Image, kind: str) -> bytes:
    """What a site would serve for the scaled image: a JPEG of a usual quality; PNG where it had one or has alpha."""
    out = io.BytesIO()
    if kind in ("PNG", "GIF") or image.mode == "RGBA":
        image.save(out, "PNG", optimize=True)
    else:
        image.convert("RGB").save(out, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return out.getvalue()
