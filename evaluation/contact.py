"""Contact sheets for looking at: original | ours | best classical at equal bytes.

In: uint8 RGB pictures of one size. Out: a PNG with captions. Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from evaluation.codecs import Coded

RGB = npt.NDArray[np.uint8]
_CAPTION_PX = 16


def write(path: Path, original: RGB, others: Sequence[Coded], budget_bytes: int) -> None:
    """One row: the original, then the others, each with its codec, setting and bytes above it."""
    captions = [f"original (budget {budget_bytes} B)"]
    captions += [f"{c.family} {c.setting.replace('÷', '1/')} {c.size_bytes} B" for c in others]
    pictures = [original, *(c.picture for c in others)]
    height, width = original.shape[:2]
    sheet = Image.new("RGB", (width * len(pictures), height + _CAPTION_PX), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (caption, picture) in enumerate(zip(captions, pictures, strict=True)):
        draw.text((number * width + 4, 2), caption, fill="black")
        sheet.paste(Image.fromarray(picture), (number * width, _CAPTION_PX))
    sheet.save(path)
