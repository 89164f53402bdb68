"""Whether an image belongs in the set: the paper's filters.

In: a file's bytes, the least sides. Out: `Kept` with what is known of the file, or a `Stay` with the reason. Refuses:
what is not a still, opaque image that decodes, and images under the least sides (the paper: 512×256).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from PIL import Image

from evaluation.collect.gate import Stay
from evaluation.paper.known import MIN_HEIGHT_PX, MIN_WIDTH_PX
from proxy.encode.source import open_source
from proxy.policy import Skip
from proxy.sniff import PREFIX_BYTES, sniff

MAX_PIXELS = 100_000_000
_ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/avif": "avif", "image/gif": "gif",
            "image/bmp": "bmp"}  # fmt: skip
_EXIF_COPYRIGHT = 0x8298


@dataclass(frozen=True, slots=True)
class Kept:
    """An image that passed: its upright size, media type by its own bytes, and the copyright its metadata states."""

    width_px: int
    height_px: int
    media_type: str
    sha256: str
    copyright: str

    @property
    def ending(self) -> str:
        """What its file name ends in."""
        return _ENDINGS[self.media_type]


def judge(data: bytes, min_width_px: int = MIN_WIDTH_PX, min_height_px: int = MIN_HEIGHT_PX) -> Kept | Stay:
    """Never raises on bad data."""
    media_type = sniff(data[:PREFIX_BYTES]) or ""
    if media_type not in _ENDINGS:
        return Stay(f"not an image of the set: {media_type or 'unknown type'}")
    try:
        with Image.open(io.BytesIO(data)) as image:
            smaller, larger = sorted(image.size)
    except Exception as error:  # decoders raise many types on damaged files
        return Stay(f"broken: {type(error).__name__}")
    too_small = f"under {min_width_px}×{min_height_px} px"
    if larger < min_width_px or smaller < min(min_width_px, min_height_px):
        return Stay(too_small)  # whichever way up: spares decoding most icons
    source = open_source(data, MAX_PIXELS)
    if isinstance(source, Skip):
        return Stay(source.reason.value)
    if source.width_px < min_width_px or source.height_px < min_height_px:
        return Stay(too_small)
    digest = hashlib.sha256(data).hexdigest()
    return Kept(source.width_px, source.height_px, media_type, digest, _copyright(data))


def _copyright(data: bytes) -> str:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return " ".join(str(image.getexif().get(_EXIF_COPYRIGHT, "")).replace("\0", " ").split())[:200]
    except Exception:  # an image whose metadata is broken states nothing
        return ""
