"""The ladder of thumbnails, and how far up it an image must go.

In: a `Work`, the crops that come along. Out: the lowest `Rung` above the tier's floor. Refuses nothing: where none is
above it, the highest is returned with its estimate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import numpy.typing as npt

from proxy.bundle import Bundle, Salient
from proxy.bundle.pixels import crops
from proxy.bundle.preview import render
from proxy.bundle.resample import resize
from proxy.encode.floor import Estimate
from proxy.encode.pictures import SEARCH_SPEED, avif_picture, best_coding, reduced
from proxy.encode.salient.truth import place
from proxy.encode.work import Work

# (divisor, AVIF quality) of thumbnails, by rising bytes and quality; START is where most photographs' search begins
LADDER = (
    *((4, 30), (4, 45), (3, 20), (3, 30)),
    *((2, 14), (2, 18), (2, 22), (2, 26), (2, 30), (2, 35), (2, 41), (2, 48), (2, 56)),
)
START = 8
RUNG_HEADROOM = 0.028  # that one rung is worth at most, near START: a higher jump would rarely pass over one that does
TEXT_ENGINES = frozenset(("diffusion",))


@dataclass(frozen=True, slots=True)
class Rung:
    """A bundle, what its drawing is estimated to be worth, and its place in LADDER."""

    bundle: Bundle
    estimate: Estimate | None = None  # None: not measured
    step: int = -1


def climb(work: Work, salient: Salient | None) -> Rung:
    """The lowest rung of the ladder that is above the floor, else the highest; found by going up or down from START."""
    bundle = replace(work.bundle(), salient=salient)
    if work.request.engine in TEXT_ENGINES:
        bundle = work.with_prompt(bundle)
    tried: dict[int, Estimate] = {}

    def headroom(step: int) -> float:
        divisor, quality = LADDER[step]
        with work.clock.stage("thumbnail"):
            picture = avif_picture(reduced(work.source.rgb, divisor), quality, SEARCH_SPEED)
        with work.clock.stage("measure"):
            drawn = _preview(work, replace(bundle, thumbnail=picture))
            tried[step] = work.judge.drawn(drawn, divisor, quality)
            return work.judge.headroom(tried[step])

    step = START
    room = headroom(step)
    if room >= 0:
        while step > 0 and headroom(step - 1) >= 0:
            step -= 1
    else:
        while room < 0 and step < len(LADDER) - 1:
            step = min(step + ceil(-room / RUNG_HEADROOM), len(LADDER) - 1)
            room = headroom(step)
    divisor, quality = LADDER[step]
    with work.clock.stage("thumbnail"):
        picture = best_coding(reduced(work.source.rgb, divisor), quality)
    return Rung(replace(bundle, thumbnail=picture), tried[step], step)


def _preview(work: Work, bundle: Bundle) -> npt.NDArray[np.uint8]:
    """What the bundle shows without a model, at working size."""
    height, width = work.source.rgb.shape[:2]
    image = render(replace(bundle, width_px=width, height_px=height, salient=None))
    if bundle.salient is not None:
        image = image.copy()
        for rectangle, crop in zip(bundle.salient.rectangles, crops(bundle.salient), strict=True):
            rows, columns = place(rectangle, width / bundle.width_px, height / bundle.height_px)
            image[rows, columns] = resize(crop, columns.stop - columns.start, rows.stop - rows.start)
    return image
