"""What a classical codec would need for the same picture: the bar a bundle must clear.

In: pixels, and what a bundle costs and scores. Out: which classical encoding makes the bundle pointless, or None.
Refuses: nothing.

Only full-size encodings count here: a page's image must keep its dimensions, so a reduced file could not be handed to
a browser, and the best reduced encoding is what the bundle's thumbnail already is (`pictures.best_coding`).
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from proxy.encode.pictures import avif_file
from proxy.encode.quality import score

RGB = npt.NDArray[np.uint8]

MAX_SHARE = 0.95
_WEBP_QUALITIES = (0, 10, 20)
_AVIF_QUALITIES = (5, 15, 25)
_AVIF_SPEED = 9
_AVIF_ADVANTAGE = 2.0  # at the lowest qualities AVIF needs half of WebP's bytes at most


def beats(rgb: RGB, bundle_bytes: int, bundle_score: float) -> str | None:
    """The classical file that costs at most 1/MAX_SHARE of the bundle and is as similar to `rgb`, in words, or None.

    One WebP at the lowest quality settles it for nearly every image: it is larger than the bundle many times over.
    """
    limit = int(bundle_bytes / MAX_SHARE)
    smallest = len(_webp_file(rgb, 0))
    if smallest > limit * _AVIF_ADVANTAGE:
        return None
    candidates = [("WebP", quality, _webp_file(rgb, quality)) for quality in _WEBP_QUALITIES]
    candidates += [("AVIF", quality, avif_file(rgb, quality, _AVIF_SPEED)) for quality in _AVIF_QUALITIES]
    for name, quality, file in candidates:
        if len(file) <= limit and score(rgb, _decoded(file)) >= bundle_score:
            return f"{name} at quality {quality} has {len(file)} bytes and looks no worse"
    return None


def _webp_file(rgb: RGB, quality: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "WEBP", quality=quality, method=2)
    return out.getvalue()


def _decoded(file: bytes) -> RGB:
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"))
