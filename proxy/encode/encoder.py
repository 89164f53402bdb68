"""One image to what is sent instead of it: a bundle, a classical file, or a reason why neither.

In: an `EncodeRequest`. Out: `Encoded` or `Declined`, with the milliseconds of each stage. Refuses (as `Declined`):
what `proxy.encode.source` refuses, and in `auto` also images for which nothing that is good enough is smaller.

`auto` climbs a ladder of thumbnails, from coarse and cheap to fine and dear, and takes the first that is above the
tier's floor (`proxy.encode.floor`). Faces, lines of text and codes that the detectors find come along as crops of real
pixels. What must be true as a whole (graphics, images of text, codes, crowds), what has alpha, and what no bundle
serves well becomes a classical file where the receiver can show one. `proxy.encode.choose` picks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from proxy.bundle import MEDIA_TYPE, Salient, pack
from proxy.encode import classical
from proxy.encode.analyse import GENERATED, Kind, analyse
from proxy.encode.animate import animate
from proxy.encode.choose import MAX_SHARE, Bundled, Filed, Kept, choose
from proxy.encode.edges import edges_within
from proxy.encode.floor import Judge
from proxy.encode.ladder import LADDER, Rung, climb
from proxy.encode.pictures import SEARCH_SPEED, avif_picture, palette, reduced
from proxy.encode.quality import worst_of
from proxy.encode.request import (
    AUTO,
    BALANCED,
    ECONOMY,
    EDGES,
    EDGES_PALETTE,
    FAITHFUL,
    OFF,
    PROMPT,
    SALIENT,
    THUMBNAIL,
    Declined,
    Encoded,
    EncodeRequest,
    Shortlist,
)
from proxy.encode.salient import Findings, atlas, detect
from proxy.encode.salient.boxes import Box, rectangles, scaled
from proxy.encode.salient.truth import as_true
from proxy.encode.salient.verdict import may_be_logo, names_logo, verdict
from proxy.encode.source import open_full, open_source
from proxy.encode.truefile import true_file
from proxy.encode.work import Clock, Work
from proxy.policy import Reason, Skip

EDGE_SHARE = 0.9
MIN_AUTO_PIXELS = 64 * 64
TRUE_BOXES = {ECONOMY: 0.85, BALANCED: 0.9}  # similarity of all but the worst tenth; faithful looks for no boxes
LOGOS = "logos"  # the detector that reads the page
ANIMATION = "animation"  # the kind of what moves


def encode(request: EncodeRequest) -> Encoded | Declined:
    """What is sent instead of `request.data`, or why nothing is. Never raises on bad images."""
    clock = Clock()
    automatic = request.mode == AUTO
    if request.tier == OFF:
        return Declined(Reason.TIER, "the tier is off")
    if automatic and len(request.data) < request.min_bytes:
        return Declined(Reason.TOO_SMALL, f"{len(request.data)} bytes")
    with clock.stage("open"):
        source = open_source(request.data, request.max_pixels)
    if isinstance(source, Skip):
        if automatic and source.reason is Reason.ALPHA and request.formats:
            return _transparent(request, source, clock)
        if automatic and source.reason is Reason.ANIMATED and request.moving:
            return _moving(request, clock)
        return Declined(source.reason, source.detail, stage_ms=clock.stage_ms)
    if automatic and source.width_px * source.height_px < MIN_AUTO_PIXELS:
        return Declined(Reason.TOO_SMALL, f"{source.width_px}×{source.height_px} px", stage_ms=clock.stage_ms)
    with clock.stage("analyse"):
        analysis = analyse(source.rgb, source.format)
        digest = hashlib.sha256(request.data).digest()
    judge = Judge(source.rgb, request.tier, request.engine)
    work = Work(request, source, analysis, digest, judge, clock)
    return _automatic(work) if automatic else _explicit(work)


def _explicit(work: Work) -> Encoded:
    mode = work.request.mode
    if mode == THUMBNAIL:
        return _finish(work, climb(work, None), mode)
    if mode == SALIENT:
        return _finish(work, climb(work, _crops(work, _detected(work))), mode)
    with work.clock.stage(mode):
        bundle = work.with_prompt(work.bundle())
        if mode in (EDGES, EDGES_PALETTE):
            bundle = replace(bundle, edges=edges_within(work.source.rgb, int(EDGE_SHARE * work.budget_bytes)))
        if mode == EDGES_PALETTE:
            bundle = replace(bundle, palette=palette(work.source.rgb))
        assert mode in (PROMPT, EDGES, EDGES_PALETTE)
    return _finish(work, Rung(bundle), mode)


def _automatic(work: Work) -> Encoded | Declined:
    """The bundle, the classical file or the original: whatever `choose` says."""
    request, clock = work.request, work.clock
    must_be_true = _why_true(work)
    kind: str = work.analysis.kind
    rung: Rung | None = None
    boxes: tuple[Box, ...] = ()
    if isinstance(must_be_true, _InPlaces):
        why, kind, boxes = must_be_true.why, must_be_true.why.kind, must_be_true.boxes
    elif isinstance(must_be_true, Declined):
        why, kind = must_be_true, must_be_true.kind
    else:
        rung = climb(work, must_be_true)
        why = Declined(Reason.NO_GAIN, "no bundle is good enough", kind)
        if rung.estimate is None or work.judge.headroom(rung.estimate) < 0:
            rung = None
    mode = SALIENT if rung and rung.bundle.salient else THUMBNAIL
    bundled = _finish(work, rung, mode) if rung else None
    limit = int(MAX_SHARE * len(request.data))
    rival: classical.File | None = None
    file: classical.File | None = None
    everywhere = False
    with clock.stage("classical"):
        if rung and bundled and len(bundled.body) <= limit:
            rival = _rival(work, rung, bundled)
        if rival is not None or bundled is None or len(bundled.body) > limit:
            real = (why.reason is Reason.KIND and request.tier != FAITHFUL) or kind not in GENERATED
            everywhere = real and not boxes
            file = _file(work, everywhere, limit, boxes)
    choice = choose(
        len(request.data),
        len(bundled.body) if bundled else None,
        len(file.body) if file else None,
        len(rival.body) if rival else None,
    )
    if isinstance(choice, Bundled) and bundled and rung:
        return replace(bundled, shortlist=_shortlist(work, rung, mode, limit)) if request.shortlist else bundled
    if isinstance(choice, Filed) and file:
        return _filed(work, file, kind, everywhere)
    if why.reason is Reason.KIND and not request.formats:
        return replace(why, stage_ms=clock.stage_ms)
    assert isinstance(choice, Kept)
    return Declined(Reason.NO_GAIN, choice.detail, kind, clock.stage_ms)


def _why_true(work: Work) -> Declined | _InPlaces | Salient | None:
    """Why this image must travel as real pixels as a whole; else the crops that must, if there are any."""
    request, kind = work.request, work.analysis.kind

    def declined(detail: str, other: str = kind) -> Declined:
        return Declined(Reason.KIND, detail, other)

    if kind not in GENERATED:
        return declined(f"{kind}: shown as real pixels")
    if request.tier == FAITHFUL:
        return declined("the tier has nothing drawn")
    if THUMBNAIL not in request.modes:
        return Declined(Reason.NO_GAIN, "the receiver cannot draw thumbnails", kind)
    if LOGOS in request.detectors and _called_logo(work):
        return declined("a logo or an icon, the page says", Kind.GRAPHIC)
    if not request.detect:
        return None
    findings = _detected(work)
    if findings.unfinished:
        return declined(f"could not be searched for {' and '.join(findings.unfinished)}")
    height, width = work.source.rgb.shape[:2]
    other = verdict(work.analysis, findings, width, height)
    if other is not None:
        why = declined(f"{other.detail}: shown as real pixels", other.kind)
        return _InPlaces(why, findings.boxes) if other.in_places else why
    if findings.boxes and SALIENT not in request.modes:
        return Declined(Reason.NO_GAIN, "the receiver cannot paste crops", kind)
    return _crops(work, findings)


class _InPlaces(NamedTuple):
    """A photograph with more faces or larger text than crops are good for; what must be true is in `boxes`."""

    why: Declined
    boxes: tuple[Box, ...]


def _called_logo(work: Work) -> bool:
    request = work.request
    named = request.named_logo or names_logo(request.words)
    return request.logo or (named and may_be_logo(work.analysis))


def _shortlist(work: Work, rung: Rung, mode: str, limit_bytes: int) -> Shortlist:
    """What else could be sent, should the engine draw better or worse than foretold."""

    def at(step: int) -> Encoded | None:
        if not 0 <= step < len(LADDER):
            return None
        divisor, quality = LADDER[step]
        with work.clock.stage("thumbnail"):
            picture = avif_picture(reduced(work.source.rgb, divisor), quality, SEARCH_SPEED)
        made = _finish(work, Rung(replace(rung.bundle, thumbnail=picture)), mode)
        return made if len(made.body) <= limit_bytes else None

    with work.clock.stage("classical"):
        file = _file(work, False, limit_bytes)
    filed = _filed(work, file, work.analysis.kind, False) if file else None
    dearer = at(rung.step + 2)
    if dearer and file and len(dearer.body) > MAX_SHARE * len(file.body):
        dearer = None
    return Shortlist(at(rung.step - 2), dearer, filed)


def _filed(work: Work, file: classical.File, kind: str, everywhere: bool) -> Encoded:
    """`file` as the answer. Only one that is true `everywhere` would be smaller if searched for thoroughly."""
    size = work.source.width_px, work.source.height_px
    polished = work.request.thorough or not everywhere
    return Encoded(file.body, file.media_type, file.format, *size, kind, None, work.clock.stage_ms, polished=polished)


def _transparent(request: EncodeRequest, why: Skip, clock: Clock) -> Encoded | Declined:
    """An image with alpha: a classical file with exactly that alpha."""
    with clock.stage("open"):
        pixels = open_full(request.data, request.max_pixels)
    if isinstance(pixels, Skip):
        return Declined(pixels.reason, pixels.detail, stage_ms=clock.stage_ms)
    with clock.stage("classical"):
        limit = int(MAX_SHARE * len(request.data))
        file = true_file(pixels, request.formats, request.tier, limit, request.thorough)
    if file is None:
        return Declined(Reason.ALPHA, f"{why.detail}, and no file of it is smaller", stage_ms=clock.stage_ms)
    height, width = pixels.shape[:2]
    return Encoded(file.body, file.media_type, file.format, width, height, "", None, clock.stage_ms)


def _moving(request: EncodeRequest, clock: Clock) -> Encoded | Declined:
    """An animation: an animated WebP that runs just so."""
    with clock.stage("animate"):
        made = animate(request.data, request.tier, int(MAX_SHARE * len(request.data)), request.max_pixels)
    if isinstance(made, Skip):
        return Declined(made.reason, made.detail, ANIMATION, clock.stage_ms)
    file, (width, height) = made.file, made.size
    return Encoded(file.body, file.media_type, file.format, width, height, ANIMATION, None, clock.stage_ms)


def _file(work: Work, real: bool, limit_bytes: int, boxes: Sequence[Box] = ()) -> classical.File | None:
    """The smallest file that the receiver can show: true in every place where `real`, else above the tier's floor, and
    true in the `boxes`.
    """
    request, source = work.request, work.source
    if not classical.available(request.formats):
        return None
    whole = (source.height_px, source.width_px) == source.rgb.shape[:2]
    full = source.rgb if whole else open_full(request.data, request.max_pixels)
    if isinstance(full, Skip):
        return None
    if real:
        return true_file(full, request.formats, request.tier, limit_bytes, request.thorough)
    places = [(slice(max(0, int(b.top)), ceil(b.bottom)), slice(max(0, int(b.left)), ceil(b.right))) for b in boxes]

    def good(pixels: npt.NDArray[np.uint8]) -> bool:
        if places and worst_of(source.rgb, pixels, places) < TRUE_BOXES[request.tier]:
            return False
        return work.judge.headroom(work.judge.measured(pixels)) >= 0

    found = classical.smallest(source.rgb, request.formats, good, limit_bytes)
    return classical.finished(found, full) if found else None


def _rival(work: Work, rung: Rung, bundled: Encoded) -> classical.File | None:
    """The classical file that is above the floor, too, at about the bundle's bytes: what makes it pointless. It has to
    show what is in the crops as truly as they do.
    """
    rgb, judge, salient = work.source.rgb, work.judge, rung.bundle.salient
    size = work.source.width_px, work.source.height_px

    def as_good(pixels: npt.NDArray[np.uint8]) -> bool:
        if judge.headroom(judge.measured(pixels)) < 0:
            return False
        return salient is None or as_true(pixels, rgb, salient, *size)

    return classical.rival(rgb, int(len(bundled.body) / MAX_SHARE), as_good)


def _detected(work: Work) -> Findings:
    with work.clock.stage("detect"):
        request = work.request
        return detect(work.source.rgb, request.face_weights, request.detectors)


def _crops(work: Work, findings: Findings) -> Salient | None:
    """The section with the crops of what was found; None when nothing was."""
    source = work.source
    height, width = source.rgb.shape[:2]
    with work.clock.stage("crops"):
        boxes = scaled(findings.boxes, source.width_px / width, source.height_px / height)
        return atlas.build(
            source.rgb, source.width_px, source.height_px, rectangles(boxes, source.width_px, source.height_px)
        )


def _finish(work: Work, rung: Rung, mode: str) -> Encoded:
    source, kind = work.source, work.analysis.kind
    similar = rung.estimate.vgg16 if rung.estimate else None
    size = source.width_px, source.height_px
    return Encoded(pack(rung.bundle), MEDIA_TYPE, mode, *size, kind, similar, work.clock.stage_ms)
