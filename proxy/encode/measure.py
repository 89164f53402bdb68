"""What an engine's picture is worth, measured: the part of decode-and-measure that looks at pixels.

In: a `MeasureRequest`, the original's file and the picture's. Out: `Measured`, or `Declined` when one of them does not
open. Refuses (as `Declined`): what `proxy.encode.source` refuses, and pictures of another size.
"""

from __future__ import annotations

from proxy.bundle.resample import resize
from proxy.encode.floor import Judge
from proxy.encode.request import Declined, Measured, MeasureRequest
from proxy.encode.source import open_source
from proxy.policy import Reason, Skip


def measure(request: MeasureRequest) -> Measured | Declined:
    """The score and headroom of `request.picture`. Never raises on bad images."""
    original = open_source(request.data, request.max_pixels)
    picture = open_source(request.picture, request.max_pixels)
    for opened in (original, picture):
        if isinstance(opened, Skip):
            return Declined(opened.reason, opened.detail)
    assert not isinstance(original, Skip) and not isinstance(picture, Skip)
    if (original.width_px, original.height_px) != (picture.width_px, picture.height_px):
        return Declined(Reason.RUNTIME, "a picture of another size")
    height, width = original.rgb.shape[:2]
    judge = Judge(original.rgb, request.tier)
    estimate = judge.measured(resize(picture.rgb, width, height))
    return Measured(estimate.vgg16, judge.headroom(estimate))
