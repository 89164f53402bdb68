"""Opens an image from the network, safely, at the size the encoder works at or at its own.

In: a file's bytes and the limit on pixels. Out: a `Source`: upright sRGB pixels at most WORK_SIDE_PX a side, and the
original's size as a browser reports it; or (`open_full`) all pixels, with their alpha. Refuses (as a `Skip`): what is
not a still, opaque image of a known format, declares too many pixels (checked before anything is decoded), is a line
rather than a picture, or is broken.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from proxy.policy import Reason, Skip
from proxy.sniff import PREFIX_BYTES, sniff

WORK_SIDE_PX = 1024
MAX_ASPECT = 512  # beyond it a line rather than a picture: nothing can be told about it, and hardly anything saved
FULL_PIXELS = 12_500_000  # what is encoded whole is held several times: 4000×4000 px need over a GiB
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP")
_MEDIA_TYPES = frozenset(f"image/{name.lower()}" for name in FORMATS)
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = frozenset((5, 6, 7, 8))
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """What the encoder needs of an image: `rgb` is uint8 (h, w, 3) in sRGB; the sizes are the upright original's."""

    rgb: npt.NDArray[np.uint8]
    width_px: int
    height_px: int
    format: str


def open_source(data: bytes, max_pixels: int) -> Source | Skip:
    """The image in `data`, or why it is left alone. Never raises on bad data."""
    return _guarded(data, lambda: _open(data, max_pixels))


def open_full(data: bytes, max_pixels: int) -> npt.NDArray[np.uint8] | Skip:
    """All pixels in `data`, upright sRGB, uint8 (h, w, 3), or (h, w, 4) where it is not opaque. Never raises on bad
    data.
    """
    return _guarded(data, lambda: _open_full(data, max_pixels))


def _guarded(data: bytes, opening: Callable[[], T | Skip]) -> T | Skip:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return opening()
    except Image.DecompressionBombError as error:
        return Skip(Reason.TOO_MANY_PIXELS, str(error))
    except MemoryError:
        return Skip(Reason.TOO_MANY_PIXELS, "decoding needs more memory than is allowed")
    except UnidentifiedImageError:
        if sniff(data[:PREFIX_BYTES]) in _MEDIA_TYPES:
            return Skip(Reason.BROKEN, "its header cannot be read")
        return Skip(Reason.UNSUPPORTED_FORMAT, f"not one of {', '.join(FORMATS)}")
    except Exception as error:  # decoders raise many types on damaged files
        return Skip(Reason.BROKEN, f"{type(error).__name__}: {error}")


def _refused(image: Image.Image, max_pixels: int) -> Skip | None:
    """Why an image is left alone that has not been decoded yet."""
    width, height = image.size
    if width * height > max_pixels:
        return Skip(Reason.TOO_MANY_PIXELS, f"{width}×{height} px declared; the limit is {max_pixels}")
    if getattr(image, "is_animated", False):
        return Skip(Reason.ANIMATED, "it moves")  # how many frames it has is not counted: that may take long
    return None


def _open_full(data: bytes, max_pixels: int) -> npt.NDArray[np.uint8] | Skip:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        refused = _refused(image, min(max_pixels, FULL_PIXELS))
        if refused is not None:
            return refused
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        profile = image.info.get("icc_profile")
        image.load()
        opaque = _to_srgb(_eight_bit(image), profile)
        if _transparent(image):
            opaque = opaque.convert("RGBA")
            opaque.putalpha(image.convert("RGBA").getchannel("A"))
        if orientation != 1:
            opaque.getexif()[_EXIF_ORIENTATION] = orientation
            opaque = ImageOps.exif_transpose(opaque)
        return np.asarray(opaque)


def _open(data: bytes, max_pixels: int) -> Source | Skip:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        refused = _refused(image, max_pixels)
        if refused is not None:
            return refused
        width, height = image.size
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        profile = image.info.get("icc_profile")
        work = _work_size(width, height)
        if max(width, height) > MAX_ASPECT * min(width, height):
            return Skip(Reason.TOO_SMALL, f"{width}×{height} px are a line")
        image.draft(None, work)  # JPEG: decode at 1/2, 1/4 or 1/8, never under the working size
        image.load()
        if _transparent(image):
            return Skip(Reason.ALPHA, "not opaque")
        upright: Image.Image = _to_srgb(
            _eight_bit(image).resize(work, Image.Resampling.LANCZOS, reducing_gap=3.0), profile
        )
        if orientation in _SIDEWAYS:
            width, height = height, width
        if orientation != 1:
            upright.getexif()[_EXIF_ORIENTATION] = orientation
            upright = ImageOps.exif_transpose(upright)
        return Source(np.asarray(upright), width, height, str(image.format))


def _work_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, WORK_SIDE_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _transparent(image: Image.Image) -> bool:
    """Whether any pixel is not fully opaque."""
    if "transparency" not in image.info and image.mode not in ("RGBA", "LA", "PA", "La", "RGBa"):
        return False
    low, _ = image.convert("RGBA").getchannel("A").getextrema()
    return bool(low < 255)  # type: ignore[operator]


def _eight_bit(image: Image.Image) -> Image.Image:
    """The image in a mode of eight bits a channel that resizes well, colours not yet converted."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image.convert("F"))
        return Image.fromarray(np.clip(grey / (257.0 if grey.max() > 255 else 1.0), 0, 255).astype(np.uint8))
    return image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken or foreign profile: browsers ignore it as well
    return image.convert("RGB")
