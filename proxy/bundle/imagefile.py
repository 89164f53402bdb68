"""Reconstructed pixels as the file a browser gets.

In: uint8 RGB of shape (height, width, 3), a media type and a quality. Out: the file's bytes, without any metadata but
the XMP packet that is given. Refuses: media types that browsers don't show everywhere (`ValueError`).
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

FORMATS = {"image/jpeg": "JPEG", "image/webp": "WEBP", "image/png": "PNG"}
WEBP_MAX_SIDE_PX = 16_383


def encode_image(rgb: npt.NDArray[np.uint8], media_type: str, quality: int = 88, xmp: bytes | None = None) -> bytes:
    """The file of `rgb` as `media_type` (image/jpeg, image/webp, image/png); `quality` 1–100, ignored for PNG.

    `xmp` is a packet in UTF-8 (see proxy.bundle.provenance). It goes where each format keeps it: APP1, an XMP chunk, or
    an uncompressed iTXt chunk.
    """
    if media_type not in FORMATS:
        raise ValueError(f"cannot write {media_type}; known: {', '.join(FORMATS)}")
    out = io.BytesIO()
    options: dict[str, Any] = {"compress_level": 3}
    if media_type == "image/jpeg":
        options = {"quality": quality}
    elif media_type == "image/webp":
        options = {"quality": quality, "method": 1}  # delivered over the short hop: fast beats small
    if xmp is not None and media_type == "image/png":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8"))
    elif xmp is not None:
        options["xmp"] = xmp
    Image.fromarray(rgb).save(out, FORMATS[media_type], **options)
    return out.getvalue()


def best_media_type(accept: str, original: str, width_px: int, height_px: int) -> str:
    """What to write for a browser that sent `accept` and would have got `original`: WebP where welcome, else JPEG."""
    if "image/webp" in accept.lower() and max(width_px, height_px) <= WEBP_MAX_SIDE_PX:
        return "image/webp"
    return (
        "image/png" if original == "image/png" and "image/jpeg" not in accept and "*/*" not in accept else "image/jpeg"
    )
