"""Pictures in a terminal: two pixels a character cell, as upper half blocks.

In: uint8 RGB pictures or bool edge maps. Out: something rich can print, at most as wide as asked. Refuses: nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

UPPER_HALF = "▀"
RGB = npt.NDArray[np.uint8]


class Picture:
    """A picture that rich prints, scaled down (never up) to `columns` and to 2 × `rows` pixels."""

    def __init__(self, pixels: RGB, columns: int, rows: int = 30) -> None:
        height_px, width_px = pixels.shape[:2]
        scale = min(1.0, columns / width_px, 2 * rows / height_px)
        size = max(1, round(width_px * scale)), max(1, round(height_px * scale))
        self.pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rows of half blocks; an odd last row of pixels has nothing below it."""
        for top in range(0, len(self.pixels), 2):
            below = self.pixels[top + 1] if top + 1 < len(self.pixels) else None
            for column, pixel in enumerate(self.pixels[top]):
                background = None if below is None else _color(below[column])
                yield Segment(UPPER_HALF, Style(color=_color(pixel), bgcolor=background))
            yield Segment.line()


def edges_as_picture(edges: npt.NDArray[np.bool_], columns: int, rows: int = 30) -> RGB:
    """An edge map, white on black, made smaller so that thin lines stay: any pixel under one sets it."""
    height_px, width_px = edges.shape
    step = max(1, -(-width_px // columns), -(-height_px // (2 * rows)))
    padded = np.pad(edges, ((0, -height_px % step), (0, -width_px % step)))
    blocks = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
    grey = blocks.astype(np.uint8).max(axis=(1, 3)) * np.uint8(255)
    return np.stack([grey] * 3, axis=2)


def _color(pixel: npt.NDArray[np.uint8]) -> Color:
    red, green, blue = (int(value) for value in pixel)
    return Color.from_rgb(red, green, blue)
