"""Classical codecs as the paper looked at them: JPEG and WebP at a tenth of the original, and WebP at a bundle's bytes.

In: uint8 RGB (h, w, 3) and budgets of bytes. Out: what is left of the picture, by name. Refuses nothing: where even the
worst quality is too large, there is no entry.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evaluation.codecs import JPEG, WEBP, Coded, within
from evaluation.metrics.measure import Measure, better

RGB = npt.NDArray[np.uint8]
SCALES = (1, 2, 4, 8)


def tenth(rgb: RGB, original_bytes: int, share: float) -> dict[str, Coded | None]:
    """JPEG and WebP of highest quality, at full size, in `share` of the original file."""
    found = {coded.family: coded for coded in within(rgb, int(share * original_bytes), (1,), (JPEG, WEBP))}
    return {codec.name: found.get(codec.name) for codec in (JPEG, WEBP)}


def webp(rgb: RGB, budget_bytes: int) -> list[Coded]:
    """WebP in at most `budget_bytes`, full size first, then reduced."""
    return list(within(rgb, budget_bytes, SCALES, (WEBP,)))


def leader(pictures: Sequence[RGB], measure: Measure) -> int:
    """Which picture is best: by LPIPS-Alex where it is measured, else by PSNR."""
    metric = "lpips_alex" if "lpips_alex" in measure.names else "psnr"
    values = [measure(picture, [metric])[metric] for picture in pictures]
    best = 0
    for index, value in enumerate(values):
        if better(metric, value, values[best]):
            best = index
    return best
