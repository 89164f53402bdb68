"""Whether what the detectors found leaves room for a bundle: images of text, of codes and of crowds do not.

In: an image's `Analysis`, and `Findings` in the working image. Out: a `Verdict`, the kind of image that it then is and
a sentence, or None. Refuses: nothing.
Pure: no pixels, no clocks.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.bundle import SalientKind
from proxy.encode.analyse import CODE_SHARE, Analysis, Kind
from proxy.encode.salient.detect import Findings

TEXT_LINES = 12
TEXT_SHARE = 0.12  # of the image's area, in boxes tight around the lines
CROWD_FACES = 12  # where so many are found, some are missed
# From this likelihood on, a picture without faces counts as rendered; from the lower ones if there is text in it, or if
# it is so small that text could not have been found.
RENDERED, RENDERED_WITH_TEXT, RENDERED_SMALL = 0.55, 0.36, 0.40
SMALL_PX = 450
_LOGO = re.compile(r"\b(logos?|logotype|icons?|favicon|emblem|badge|wordmark|crest)\b", re.IGNORECASE)
_LOGO_FLAT = 0.4  # photographs of badges are photographs


class Verdict(NamedTuple):
    """What the image is called instead of a photograph, and why. `in_places`: only what was found must be true, for the
    rest is a photograph.
    """

    kind: Kind
    detail: str
    in_places: bool = False


def verdict(analysis: Analysis, findings: Findings, width_px: int, height_px: int) -> Verdict | None:
    """Why an image of `width_px` × `height_px` with these findings must travel as real pixels, or None."""
    area = width_px * height_px
    texts, codes, faces = (findings.of(k) for k in (SalientKind.TEXT, SalientKind.CODE, SalientKind.FACE))
    text_share = sum(box.area for box in texts) / area
    if len(texts) >= TEXT_LINES or text_share >= TEXT_SHARE:
        few = len(texts) < TEXT_LINES and analysis.rendered < RENDERED_WITH_TEXT  # of many, some are missed
        return Verdict(Kind.TEXT, f"{len(texts)} lines of text on {text_share:.0%} of the image", few)
    code_share = sum(box.area for box in codes) / area
    if code_share >= CODE_SHARE:
        return Verdict(Kind.CODE, f"a code on {code_share:.0%} of the image")
    if len(faces) >= CROWD_FACES:
        return Verdict(Kind.CROWD, f"{len(faces)} faces", True)
    small = max(width_px, height_px) < SMALL_PX
    least = RENDERED_WITH_TEXT if texts else RENDERED_SMALL if small else RENDERED
    if analysis.rendered >= least and not faces:
        return Verdict(analysis.drawn, f"rendered, by {analysis.rendered:.0%}, with {len(texts)} lines of text")
    return None


def names_logo(words: str | None) -> bool:
    """Whether words call what they describe a logo or an icon."""
    return bool(words and _LOGO.search(words))


def may_be_logo(analysis: Analysis) -> bool:
    """Whether a picture is flat enough to believe words that call it a logo."""
    return analysis.flat >= _LOGO_FLAT
