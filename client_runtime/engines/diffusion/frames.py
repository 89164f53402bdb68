"""Where on one of the model's few native sizes a picture of any size is drawn.

In: the original's size and the profile's buckets. Out: a `Frame`. Refuses nothing.

A picture keeps its shape: it lies in the middle of the bucket it fills best, and what is around it is drawn and cut
off. Few sizes mean that pictures share batches, and that compiled code is compiled once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Frame:
    """A bucket of `width_px` × `height_px`, and the picture's place in it."""

    width_px: int
    height_px: int
    left_px: int
    top_px: int
    inner_width_px: int
    inner_height_px: int

    def pad(self, picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(inner height, inner width, c) to (height, width, c): the border's pixels repeat."""
        down = (self.top_px, self.height_px - self.top_px - self.inner_height_px)
        right = (self.left_px, self.width_px - self.left_px - self.inner_width_px)
        return np.pad(picture, (down, right, (0, 0)), mode="edge")

    def cut(self, picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The picture's own part of (height, width, c)."""
        rows = slice(self.top_px, self.top_px + self.inner_height_px)
        return picture[rows, self.left_px : self.left_px + self.inner_width_px]


def frame(width_px: int, height_px: int, buckets: Sequence[tuple[int, int]]) -> Frame:
    """The place of a picture of `width_px` × `height_px` in the bucket where it is largest, the earlier of two."""
    frames = [_in_bucket(width_px, height_px, *bucket) for bucket in buckets]
    return max(frames, key=lambda f: f.inner_width_px * f.inner_height_px)


def _in_bucket(width_px: int, height_px: int, across_px: int, down_px: int) -> Frame:
    scale = min(across_px / width_px, down_px / height_px)
    width = min(across_px, max(1, round(width_px * scale)))
    height = min(down_px, max(1, round(height_px * scale)))
    return Frame(across_px, down_px, (across_px - width) // 2, (down_px - height) // 2, width, height)
