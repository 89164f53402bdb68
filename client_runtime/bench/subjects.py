"""Bundles to draw, one for each mode, made of a drawn scene: any machine makes the same ones, without data.

In: a mode and a size. Out: a `Bundle`. Refuses: modes that are none (`ValueError`).
"""

from __future__ import annotations

import functools
import io
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from proxy.bundle import Bundle, Coding, Edges, Picture, Prompt, Rectangle, Salient, SalientKind, jbig2, webp
from proxy.bundle.atlas import layout

MODES = ("prompt", "edges", "edges+palette", "thumbnail", "salient")
RGB = npt.NDArray[np.uint8]


def subject(mode: str, side_px: int, number: int = 0) -> Bundle:
    """A square bundle of `mode`. `number` makes it another: other words (so no embedding is known), another seed."""
    if mode not in MODES:
        raise ValueError(f"{mode!r} is no mode; known: {', '.join(MODES)}")
    image = scene(side_px)
    words = Prompt(f"a lighthouse on a cliff above the sea, view number {number}")
    bundle = Bundle(side_px, side_px, seed=number, prompt=words)
    if "edges" in mode:
        lines = cv2.Canny(cv2.resize(image, (side_px // 2, side_px // 2), interpolation=cv2.INTER_AREA), 60, 120) > 0
        bundle = replace(bundle, edges=Edges(lines.shape[1], lines.shape[0], 2, False, jbig2.encode(lines, template=2)))
    if "palette" in mode:
        bundle = replace(bundle, palette=_picture(image, 16))
    if mode in ("thumbnail", "salient"):
        bundle = replace(bundle, thumbnail=_picture(image, max(8, side_px // 8)))
    if mode == "salient":
        bundle = replace(bundle, salient=_crop(image))
    return bundle


@functools.lru_cache(maxsize=4)
def scene(side_px: int) -> RGB:
    """Sky, sea, a cliff and a tower: smooth areas, edges and some texture, uint8 (side, side, 3)."""
    rows, columns = np.mgrid[:side_px, :side_px].astype(np.float32) / side_px
    sky = np.stack([140 + 80 * rows, 175 + 50 * rows, 215 + 30 * (1 - rows)], axis=2)
    waves = 12 * np.sin(columns * 40 + 25 * rows)[..., None]
    picture = np.where((rows > 0.6)[..., None], np.array([30, 80, 120]) + waves, sky)
    cliff = (columns < 0.45) & (rows > 0.5 + 0.2 * columns)
    picture = np.where(cliff[..., None], np.array([90, 75, 55]) + 20 * np.sin(60 * columns * rows)[..., None], picture)
    tower = (abs(columns - 0.25) < 0.04 + 0.03 * (rows - 0.2)) & (rows > 0.2) & (rows < 0.62)
    stripes = np.where(
        (rows * 12).astype(np.int32)[..., None] % 2 == 0, np.array([235, 235, 230]), np.array([190, 40, 35])
    )
    picture = np.where(tower[..., None], stripes, picture)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _picture(image: RGB, side_px: int) -> Picture:
    small = cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA)
    file = io.BytesIO()
    Image.fromarray(np.asarray(small, np.uint8)).save(file, "WEBP", quality=60, method=4)
    stream, lossless = webp.strip(file.getvalue())
    return Picture(Coding.WEBP_LOSSLESS if lossless else Coding.WEBP_LOSSY, side_px, side_px, stream)


def _crop(image: RGB) -> Salient:
    side = image.shape[0]
    rectangle = Rectangle(side // 4, side // 8, side // 4, side // 2, SalientKind.OTHER)
    plan = layout((rectangle,), 1)
    atlas = np.zeros((plan.height_px, plan.width_px, 3), np.uint8)
    part = image[rectangle.y_px : rectangle.y_px + rectangle.height_px, rectangle.x_px :][:, : rectangle.width_px]
    atlas[: part.shape[0], : part.shape[1]] = part
    file = io.BytesIO()
    Image.fromarray(atlas).save(file, "WEBP", quality=80, method=4)
    stream, lossless = webp.strip(file.getvalue())
    coding = Coding.WEBP_LOSSLESS if lossless else Coding.WEBP_LOSSY
    return Salient((rectangle,), 1, Picture(coding, plan.width_px, plan.height_px, stream))
