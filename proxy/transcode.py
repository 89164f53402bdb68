"""A classical file that the browser cannot show becomes one that it can: the downstream proxy's part of formats.

In: an image file and the browser's Accept. Out: the file in another format and its media type. Refuses (`ValueError`):
what does not decode, and pictures of more pixels than a bundle may have.

Alpha becomes PNG's or WebP's, exactly. What upstream sends fits most browsers as it is, and then never comes here.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from proxy.bundle.imagefile import WEBP_MAX_SIDE_PX, best_media_type, encode_image
from proxy.bundle.model import MAX_IMAGE_PIXELS
from proxy.tiers import shown_formats

FORMATS = ("avif", "webp")  # what this side can decode with Pillow alone
_PILLOW = ("AVIF", "WEBP")


def needed(media_type: str, accept: str | None) -> bool:
    """Whether a browser that sent `accept` must be given something else than `media_type`."""
    return media_type.removeprefix("image/") not in shown_formats(accept)


def transcode(body: bytes, accept: str, original_type: str, quality: int) -> tuple[bytes, str]:
    """(the file, its media type) that such a browser shows; `original_type` is what it would have got. Raises
    ValueError.
    """
    try:
        with Image.open(io.BytesIO(body), formats=_PILLOW) as image:
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise ValueError(f"{image.width}×{image.height} px are too many")
            if "A" in image.getbands():
                return _with_alpha(image, accept)
            rgb = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, RuntimeError, Image.DecompressionBombError, MemoryError) as error:
        raise ValueError(f"the file cannot be decoded: {type(error).__name__}") from error
    media_type = best_media_type(accept, original_type, rgb.shape[1], rgb.shape[0])
    return encode_image(rgb, media_type, quality), media_type


def _with_alpha(image: Image.Image, accept: str) -> tuple[bytes, str]:
    out = io.BytesIO()
    if "webp" in shown_formats(accept) and max(image.size) <= WEBP_MAX_SIDE_PX:
        image.convert("RGBA").save(out, "WEBP", quality=90, alpha_quality=100, method=1)
        return out.getvalue(), "image/webp"
    image.convert("RGBA").save(out, "PNG", compress_level=3)
    return out.getvalue(), "image/png"
