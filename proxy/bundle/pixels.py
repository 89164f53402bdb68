"""From coded sections to pixels, and to the standard files they really are.

In: sections of a bundle. Out: uint8 RGB arrays of shape (height, width, 3), bool edge maps of shape (height, width), or
complete AVIF/WebP files. Refuses: data that does not decode, or decodes to another size than declared (`BundleError`).
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from proxy.bundle import avif, webp
from proxy.bundle.atlas import layout
from proxy.bundle.container import picture_size
from proxy.bundle.errors import BundleError
from proxy.bundle.jbig2 import decode as decode_jbig2
from proxy.bundle.model import Coding, Edges, Picture, Salient
from proxy.bundle.resample import resize

RGB = npt.NDArray[np.uint8]


def picture_file(picture: Picture) -> tuple[str, bytes]:
    """(file suffix, complete standard file) of a picture."""
    if picture.coding is Coding.AVIF:
        return ".avif", avif.wrap(picture.payload, picture.width_px, picture.height_px)
    return ".webp", webp.wrap(picture.payload, lossless=picture.coding is Coding.WEBP_LOSSLESS)


def picture_rgb(picture: Picture) -> RGB:
    """The picture's pixels, uint8 of shape (height, width, 3). Raises BundleError."""
    if picture_size(picture.coding, picture.payload) != (picture.width_px, picture.height_px):
        raise BundleError(f"a picture is not {picture.width_px}×{picture.height_px}, as declared")
    suffix, file = picture_file(picture)
    try:
        with Image.open(io.BytesIO(file), formats=[suffix[1:].upper()]) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # the codecs raise OSError, ValueError, SyntaxError, … on hostile data
        raise BundleError(f"a picture in the bundle does not decode: {error}") from error


def edge_map(edges: Edges) -> npt.NDArray[np.bool_]:
    """The edge map, bool of shape (height, width), True on an edge."""
    return decode_jbig2(
        edges.payload,
        edges.width_px,
        edges.height_px,
        template=edges.template,
        typical_prediction=edges.typical_prediction,
    )


def crops(salient: Salient) -> list[RGB]:
    """The crops in the rectangles' order, at the original's size. Raises BundleError."""
    atlas = picture_rgb(salient.atlas)
    plan = layout(salient.rectangles, salient.scale)
    if atlas.shape[:2] != (plan.height_px, plan.width_px):
        raise BundleError("the atlas has another size than its rectangles need")
    return [
        resize(atlas[y : y + height, x : x + width], rectangle.width_px, rectangle.height_px)
        for rectangle, (x, y, width, height) in zip(salient.rectangles, plan.places, strict=True)
    ]
