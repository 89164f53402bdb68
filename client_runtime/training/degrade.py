"""Makes the conditioning that an image would have crossed the wire as, at random scales, qualities and modes.

In: an image, a random generator, a mix. Out: `Conditions` with the artefacts of the real codecs (AVIF thumbnails, WebP
palettes, pruned Canny edges at half size). Refuses: images smaller than 16 px a side (`ValueError`).
"""

from __future__ import annotations

import io

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from client_runtime.engines.sketch.conditions import Conditions
from client_runtime.training.options import Mix
from proxy.bundle import avif
from proxy.bundle.model import Rectangle
from proxy.bundle.pixels import picture_rgb
from proxy.bundle.resample import resize
from proxy.encode.edges import MIN_COMPONENT_PX, drop_short
from proxy.encode.pictures import avif_picture
from proxy.encode.pictures import palette as coded_palette

RGB = npt.NDArray[np.uint8]
MIN_SIDE_PX = 16


def degraded(image: RGB, random: np.random.Generator, mix: Mix) -> Conditions:
    """Conditioning for `image`, uint8 (h, w, 3). Deterministic in `random`. Raises ValueError."""
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        raise ValueError(f"{width}×{height} px is too small to learn from")
    kinds = len(mix.scales)
    weights = np.array([*mix.scale_weights, mix.palette, mix.blind])
    kind = int(random.choice(kinds + 2, p=weights / weights.sum()))
    small, size_bytes = None, 0
    if kind < kinds:
        quality = int(random.integers(mix.qualities[0], mix.qualities[1] + 1))
        chroma = "4:4:4" if random.random() < mix.full_chroma else "4:2:0"
        small, size_bytes = thumbnail(image, mix.scales[kind] * random.uniform(0.95, 1.05), quality, chroma)
    elif kind == kinds:
        small, size_bytes = palette(image)
    with_edges = kind > kinds or random.random() < (
        mix.edges_with_thumbnail if kind < kinds else mix.edges_with_palette
    )
    edges = edge_map(image, random.uniform(60, 420)) if with_edges else None
    crops: list[tuple[Rectangle, RGB]] = []
    while random.random() < mix.crops and len(crops) < 4:
        w, h = (int(random.integers(min(16, side), max(17, side // 3))) for side in (width, height))
        x, y = int(random.integers(0, width - w + 1)), int(random.integers(0, height - h + 1))
        crops.append((Rectangle(x, y, w, h), image[y : y + h, x : x + w]))
    seed = int(random.integers(2**32))
    return Conditions(width, height, seed, small, size_bytes, kind == kinds, edges, tuple(crops))


def thumbnail(image: RGB, scale: float, quality: int, chroma: str = "4:2:0") -> tuple[RGB, int]:
    """(decoded AVIF thumbnail at 1/`scale`, bytes of its bare AV1 data)."""
    height, width = image.shape[:2]
    small = resize(image, max(1, round(width / scale)), max(1, round(height / scale)))
    if chroma == "4:2:0":
        picture = avif_picture(small, quality)
        return picture_rgb(picture), len(picture.payload)
    file = io.BytesIO()
    Image.fromarray(small).save(file, "AVIF", quality=quality, speed=6, subsampling=chroma, max_threads=1)
    with Image.open(file) as decoded:
        return np.asarray(decoded.convert("RGB")), len(avif.strip(file.getvalue()))


def palette(image: RGB) -> tuple[RGB, int]:
    """(decoded WebP palette, bytes of its bare data)."""
    picture = coded_palette(image)
    return picture_rgb(picture), len(picture.payload)


def edge_map(image: RGB, high: float) -> npt.NDArray[np.bool_]:
    """Canny edges at half size with upper threshold `high`, as `proxy.encode.edges` finds them."""
    height, width = image.shape[:2]
    half = cv2.resize(image, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(cv2.cvtColor(half, cv2.COLOR_RGB2GRAY), (0, 0), 0.8)
    return drop_short(np.asarray(cv2.Canny(grey, high / 2, high, L2gradient=True)) > 0, MIN_COMPONENT_PX)
