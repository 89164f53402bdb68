"""What the network is told: a bundle's sections as planes of numbers, one window of the picture at a time.

In: a `Bundle`, or its decoded parts (training makes those itself). Out: `Conditions`, and `Planes` for any window.
Refuses: what `proxy.bundle.pixels` refuses (`BundleError`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from client_runtime.engines.sketch import noise, resample
from proxy.bundle import pixels
from proxy.bundle.model import Bundle, Coding, Rectangle
from proxy.bundle.resample import resize

FACTS = 6  # has colour, is a palette, scale, bits per pixel of the small picture, has edges, has crops
_GREY = 0.5


@dataclass(frozen=True, slots=True)
class Planes:
    """Network input for one window of rows × columns pixels (both multiples of 2), float32, channels first."""

    colour: npt.NDArray[np.float32]  # (3, rows, columns), 0 to 1: the small picture stretched, true crops pasted
    edges: npt.NDArray[np.float32]  # (1, rows / 2, columns / 2), 0 or 1
    mask: npt.NDArray[np.float32]  # (1, rows / 2, columns / 2), 1 where colour is the truth
    noise: npt.NDArray[np.float32]  # (1, rows, columns), standard normal


@dataclass(frozen=True, slots=True)
class Conditions:
    """One picture's conditioning. `small` is its thumbnail or palette, `edges` its edge map, both of any size."""

    width_px: int
    height_px: int
    seed: int = 0
    small: npt.NDArray[np.uint8] | None = None
    small_bytes: int = 0
    is_palette: bool = False
    edges: npt.NDArray[np.bool_] | None = None
    crops: tuple[tuple[Rectangle, npt.NDArray[np.uint8]], ...] = ()

    def facts(self) -> npt.NDArray[np.float32]:
        """(FACTS,) numbers of about unit size that hold for the whole picture."""
        facts = np.zeros(FACTS, np.float32)
        if self.small is not None:
            cells = self.small.shape[0] * self.small.shape[1]
            scale = math.sqrt(self.width_px * self.height_px / cells)
            bits = 8 * self.small_bytes / cells
            facts[:4] = 1, self.is_palette, math.log2(max(scale, 1)) / 2 - 1, (math.log2(bits + 0.02) + 1) / 2
        facts[4:] = self.edges is not None, bool(self.crops)
        return facts

    def window(self, top: int, left: int, rows: int, columns: int) -> Planes:
        """The planes of a window with even position and size; beyond the picture the border's pixels repeat."""
        if self.small is None:
            colour = np.full((rows, columns, 3), _GREY, np.float32)
        else:
            small = self.small.astype(np.float32) * np.float32(1 / 255)
            stretched = resample.upsample(small, self.height_px, self.width_px, top, left, rows, columns)
            colour = np.clip(stretched, 0, 1, out=stretched)
        mask = np.zeros((1, rows // 2, columns // 2), np.float32)
        for rectangle, crop in self.crops:
            _paste(colour, mask[0], rectangle, crop, top, left)
        return Planes(
            np.ascontiguousarray(colour.transpose(2, 0, 1)),
            self._edge_window(top, left, rows, columns),
            mask,
            noise.window(self.seed, top, left, rows, columns)[None],
        )

    def _edge_window(self, top: int, left: int, rows: int, columns: int) -> npt.NDArray[np.float32]:
        if self.edges is None:
            return np.zeros((1, rows // 2, columns // 2), np.float32)
        down = _nearest(self.edges.shape[0], self.height_px, top, rows)
        right = _nearest(self.edges.shape[1], self.width_px, left, columns)
        return self.edges[np.ix_(down, right)].astype(np.float32)[None]


def from_bundle(bundle: Bundle, draw_side_px: int) -> Conditions:
    """Decode the sections of `bundle` that the network sees, for drawing at most `draw_side_px` a side.

    A thumbnail says more than a palette, so it wins. Raises BundleError.
    """
    picture = bundle.thumbnail or bundle.palette
    shrink = min(1.0, draw_side_px / max(bundle.width_px, bundle.height_px))
    width, height = max(1, round(bundle.width_px * shrink)), max(1, round(bundle.height_px * shrink))
    crops: list[tuple[Rectangle, npt.NDArray[np.uint8]]] = []
    if bundle.salient is not None:
        for rectangle, crop in zip(bundle.salient.rectangles, pixels.crops(bundle.salient), strict=True):
            crops.append(_shrunk(rectangle, crop, width / bundle.width_px, height / bundle.height_px))
    return Conditions(
        width,
        height,
        bundle.seed,
        None if picture is None else pixels.picture_rgb(picture),
        0 if picture is None else len(picture.payload),
        picture is not None and picture.coding is not Coding.AVIF,
        None if bundle.edges is None else pixels.edge_map(bundle.edges),
        tuple(crops),
    )


def _shrunk(
    r: Rectangle, crop: npt.NDArray[np.uint8], across: float, down: float
) -> tuple[Rectangle, npt.NDArray[np.uint8]]:
    """The crop where it lies on a picture shrunk by `across` and `down`."""
    x0, y0 = int(r.x_px * across), int(r.y_px * down)
    width = max(1, round((r.x_px + r.width_px) * across) - x0)
    height = max(1, round((r.y_px + r.height_px) * down) - y0)
    return Rectangle(x0, y0, width, height, r.kind), resize(crop, width, height)


def _nearest(cells: int, size_px: int, start: int, count: int) -> npt.NDArray[np.int64]:
    """The cell of a map of `cells` that lies under each second pixel from `start`."""
    centres = np.arange(start // 2, (start + count) // 2) * 2 + 1
    return np.clip(centres * cells // size_px, 0, cells - 1).astype(np.int64)


def _paste(
    colour: npt.NDArray[np.float32],
    mask: npt.NDArray[np.float32],
    rectangle: Rectangle,
    crop: npt.NDArray[np.uint8],
    top: int,
    left: int,
) -> None:
    rows, columns = colour.shape[:2]
    y0, x0 = max(rectangle.y_px - top, 0), max(rectangle.x_px - left, 0)
    y1 = min(rectangle.y_px + rectangle.height_px - top, rows)
    x1 = min(rectangle.x_px + rectangle.width_px - left, columns)
    if y0 >= y1 or x0 >= x1:
        return
    dy, dx = top - rectangle.y_px, left - rectangle.x_px
    colour[y0:y1, x0:x1] = crop[y0 + dy : y1 + dy, x0 + dx : x1 + dx].astype(np.float32) / 255
    mask[(y0 + 1) // 2 : y1 // 2, (x0 + 1) // 2 : x1 // 2] = 1
