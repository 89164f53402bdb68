"""What the classical codecs would need for the same picture: the bar a bundle must clear.

In: pixels and what a bundle costs. Out: the best classical file within that cost, or the answer whether one is as
good. Refuses: nothing. Downscaling is allowed to the classical codecs, since plain AVIF at a reduced size is the
strongest of them.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from proxy.bundle import Picture
from proxy.bundle.pixels import picture_file
from proxy.bundle.resample import resize
from proxy.encode.quality import score

RGB = npt.NDArray[np.uint8]

MAX_SHARE = 0.95
_TRIES = 4


def beats(rgb: RGB, thumbnail: Picture, bundle_bytes: int, bundle_score: float, divisor: int) -> str | None:
    """Which classical encoding makes this bundle pointless, or None.

    A bundle must cost at most MAX_SHARE of any classical file that is as similar to `rgb`. The AVIF file with the
    thumbnail's own stream is as similar by construction; WebP is searched at the same scale.
    """
    avif_bytes = len(picture_file(thumbnail)[1])
    if bundle_bytes > MAX_SHARE * avif_bytes:
        return f"an AVIF file at 1/{divisor} of the size has {avif_bytes} bytes and looks the same"
    limit = int(bundle_bytes / MAX_SHARE)
    file = webp_within(rgb, divisor, limit)
    if file is not None and score(rgb, _upsampled(file, rgb)) >= bundle_score:
        return f"a WebP file at 1/{divisor} of the size has {len(file)} bytes and looks no worse"
    return None


def webp_within(rgb: RGB, divisor: int, limit_bytes: int) -> bytes | None:
    """The WebP of highest quality at 1/`divisor` that has at most `limit_bytes`, or None."""
    height, width = rgb.shape[:2]
    small = Image.fromarray(resize(rgb, max(1, round(width / divisor)), max(1, round(height / divisor))))
    low, high, best = 0, 100, None
    for _ in range(_TRIES):
        quality = (low + high) // 2
        out = io.BytesIO()
        small.save(out, "WEBP", quality=quality, method=2)
        if out.tell() <= limit_bytes:
            best, low = out.getvalue(), quality
        else:
            high = quality
    return best


def _upsampled(file: bytes, like: RGB) -> RGB:
    with Image.open(io.BytesIO(file)) as image:
        return resize(np.asarray(image.convert("RGB")), like.shape[1], like.shape[0])
