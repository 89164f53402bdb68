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
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import sqrt

import numpy as np
import numpy.typing as npt

from proxy.bundle import MEDIA_TYPE, Bundle, Rectangle, Salient, pack
from proxy.bundle.pixels import crops
from proxy.bundle.preview import render
from proxy.bundle.resample import resize
from proxy.encode import classical
from proxy.encode.analyse import GENERATED, Analysis, analyse
from proxy.encode.choose import MAX_SHARE, Bundled, Filed, Kept, choose
from proxy.encode.edges import edges_within
from proxy.encode.floor import Estimate, Judge
from proxy.encode.pictures import SEARCH_SPEED, avif_picture, best_coding, palette, reduced
from proxy.encode.prompt import prompt_for
from proxy.encode.request import (
    AUTO,
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
from proxy.encode.salient.boxes import rectangles, scaled
from proxy.encode.salient.verdict import named_logo, verdict
from proxy.encode.source import Source, open_full, open_source
from proxy.policy import Reason, Skip

# Bytes grow with the side, not the area: a picture twice as wide is looked at in the same column of the same page.
BYTES_PER_SIDE_PX = 3.0
MIN_BUDGET_BYTES = 1200.0
# (divisor, AVIF quality) of thumbnails, by rising bytes and quality; START is where most photographs' search begins
LADDER = (
    *((4, 30), (4, 45), (3, 20), (3, 30)),
    *((2, 14), (2, 18), (2, 22), (2, 26), (2, 30), (2, 35), (2, 41), (2, 48), (2, 56)),
)
START = 8
EDGE_SHARE = 0.9
MIN_AUTO_PIXELS = 64 * 64
TEXT_ENGINES = frozenset(("diffusion",))
DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class _Work:
    """An image on its way through the stages."""

    request: EncodeRequest
    source: Source
    analysis: Analysis
    digest: bytes
    judge: Judge
    clock: _Clock

    @property
    def budget_bytes(self) -> float:
        height, width = self.source.rgb.shape[:2]
        return max(BYTES_PER_SIDE_PX * sqrt(width * height), MIN_BUDGET_BYTES)

    def bundle(self) -> Bundle:
        """The frame of the bundle, still without sections."""
        seed = self.request.seed if self.request.seed is not None else int.from_bytes(self.digest[:4], "big")
        return Bundle(self.source.width_px, self.source.height_px, seed, original_sha256=self.digest[:DIGEST_BYTES])

    def with_prompt(self, bundle: Bundle) -> Bundle:
        request = self.request
        words = prompt_for(request.words, request.words_known_downstream, self.source.rgb, self.analysis.kind)
        return replace(bundle, prompt=words)


def encode(request: EncodeRequest) -> Encoded | Declined:
    """What is sent instead of `request.data`, or why nothing is. Never raises on bad images."""
    clock = _Clock()
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
        return Declined(source.reason, source.detail, stage_ms=clock.stage_ms)
    if automatic and source.width_px * source.height_px < MIN_AUTO_PIXELS:
        return Declined(Reason.TOO_SMALL, f"{source.width_px}×{source.height_px} px", stage_ms=clock.stage_ms)
    with clock.stage("analyse"):
        analysis = analyse(source.rgb, source.format)
        digest = hashlib.sha256(request.data).digest()
    judge = Judge(source.rgb, request.tier, request.engine)
    work = _Work(request, source, analysis, digest, judge, clock)
    return _automatic(work) if automatic else _explicit(work)


def _explicit(work: _Work) -> Encoded:
    mode = work.request.mode
    if mode == THUMBNAIL:
        return _finish(work, _climb(work, None), mode)
    if mode == SALIENT:
        return _finish(work, _climb(work, _crops(work, _detected(work))), mode)
    with work.clock.stage(mode):
        bundle = work.with_prompt(work.bundle())
        if mode in (EDGES, EDGES_PALETTE):
            bundle = replace(bundle, edges=edges_within(work.source.rgb, int(EDGE_SHARE * work.budget_bytes)))
        if mode == EDGES_PALETTE:
            bundle = replace(bundle, palette=palette(work.source.rgb))
        assert mode in (PROMPT, EDGES, EDGES_PALETTE)
    return _finish(work, _Rung(bundle), mode)


def _automatic(work: _Work) -> Encoded | Declined:
    """The bundle, the classical file or the original: whatever `choose` says."""
    request, clock = work.request, work.clock
    must_be_true = _why_true(work)
    kind: str = work.analysis.kind
    rung: _Rung | None = None
    if isinstance(must_be_true, Declined):
        why, kind = must_be_true, must_be_true.kind
    else:
        rung = _climb(work, must_be_true)
        why = Declined(Reason.NO_GAIN, "no bundle is good enough", kind)
        if rung.estimate is None or work.judge.headroom(rung.estimate) < 0:
            rung = None
    mode = SALIENT if rung and rung.bundle.salient else THUMBNAIL
    bundled = _finish(work, rung, mode) if rung else None
    limit = int(MAX_SHARE * len(request.data))
    rival: classical.File | None = None
    file: classical.File | None = None
    with clock.stage("classical"):
        if rung and bundled and len(bundled.body) <= limit:
            rival = _rival(work, rung, bundled)
        if rival is not None or bundled is None or len(bundled.body) > limit:
            real = (why.reason is Reason.KIND and request.tier != FAITHFUL) or kind not in GENERATED
            file = _file(work, real, limit)
    choice = choose(
        len(request.data),
        len(bundled.body) if bundled else None,
        len(file.body) if file else None,
        len(rival.body) if rival else None,
    )
    if isinstance(choice, Bundled) and bundled and rung:
        return replace(bundled, shortlist=_shortlist(work, rung, mode, limit)) if request.shortlist else bundled
    if isinstance(choice, Filed) and file:
        return _filed(work, file, kind)
    if why.reason is Reason.KIND and not request.formats:
        return replace(why, stage_ms=clock.stage_ms)
    assert isinstance(choice, Kept)
    return Declined(Reason.NO_GAIN, choice.detail, kind, clock.stage_ms)


def _why_true(work: _Work) -> Declined | Salient | None:
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
    if named_logo(request.words, work.analysis):
        return declined("a logo or an icon, the page says")
    if not request.detect:
        return None
    findings = _detected(work)
    if findings.unfinished:
        return declined(f"could not be searched for {' and '.join(findings.unfinished)}")
    height, width = work.source.rgb.shape[:2]
    other = verdict(work.analysis, findings, width, height)
    if other is not None:
        return declined(f"{other.detail}: shown as real pixels", other.kind)
    if findings.boxes and SALIENT not in request.modes:
        return Declined(Reason.NO_GAIN, "the receiver cannot paste crops", kind)
    return _crops(work, findings)


def _shortlist(work: _Work, rung: _Rung, mode: str, limit_bytes: int) -> Shortlist:
    """What else could be sent, should the engine draw better or worse than foretold."""

    def at(step: int) -> Encoded | None:
        if not 0 <= step < len(LADDER):
            return None
        divisor, quality = LADDER[step]
        with work.clock.stage("thumbnail"):
            picture = avif_picture(reduced(work.source.rgb, divisor), quality, SEARCH_SPEED)
        made = _finish(work, _Rung(replace(rung.bundle, thumbnail=picture)), mode)
        return made if len(made.body) <= limit_bytes else None

    with work.clock.stage("classical"):
        file = _file(work, False, limit_bytes)
    filed = _filed(work, file, work.analysis.kind) if file else None
    dearer = at(rung.step + 2)
    if dearer and file and len(dearer.body) > MAX_SHARE * len(file.body):
        dearer = None
    return Shortlist(at(rung.step - 2), dearer, filed)


def _filed(work: _Work, file: classical.File, kind: str) -> Encoded:
    size = work.source.width_px, work.source.height_px
    return Encoded(file.body, file.media_type, file.format, *size, kind, None, work.clock.stage_ms)


def _transparent(request: EncodeRequest, why: Skip, clock: _Clock) -> Encoded | Declined:
    """An image with alpha: a classical file with exactly that alpha."""
    with clock.stage("open"):
        pixels = open_full(request.data, request.max_pixels)
    if isinstance(pixels, Skip):
        return Declined(pixels.reason, pixels.detail, stage_ms=clock.stage_ms)
    with clock.stage("classical"):
        file = classical.true_file(pixels, request.formats, request.tier, int(MAX_SHARE * len(request.data)))
    if file is None:
        return Declined(Reason.ALPHA, f"{why.detail}, and no file of it is smaller", stage_ms=clock.stage_ms)
    height, width = pixels.shape[:2]
    return Encoded(file.body, file.media_type, file.format, width, height, "", None, clock.stage_ms)


def _file(work: _Work, real: bool, limit_bytes: int) -> classical.File | None:
    """The smallest file that the receiver can show: true in every place where `real`, else above the tier's floor."""
    request, source = work.request, work.source
    if not classical.available(request.formats):
        return None
    whole = (source.height_px, source.width_px) == source.rgb.shape[:2]
    full = source.rgb if whole else open_full(request.data, request.max_pixels)
    if isinstance(full, Skip):
        return None
    if real:
        return classical.true_file(full, request.formats, request.tier, limit_bytes)
    good = lambda pixels: work.judge.headroom(work.judge.measured(pixels)) >= 0  # noqa: E731
    found = classical.smallest(source.rgb, request.formats, good, limit_bytes)
    return classical.finished(found, full) if found else None


def _rival(work: _Work, rung: _Rung, bundled: Encoded) -> classical.File | None:
    """The classical file that is above the floor, too, at about the bundle's bytes: what makes it pointless.

    Without the crops: a file that only looks as good as the thumbnail smears what they are there to keep.
    """
    rgb, judge = work.source.rgb, work.judge
    crops_bytes = len(rung.bundle.salient.atlas.payload) if rung.bundle.salient else 0
    limit = int((len(bundled.body) - crops_bytes) / MAX_SHARE)
    return classical.rival(rgb, limit, lambda pixels: judge.headroom(judge.measured(pixels)) >= 0)


def _detected(work: _Work) -> Findings:
    with work.clock.stage("detect"):
        return detect(work.source.rgb, work.request.face_weights)


def _crops(work: _Work, findings: Findings) -> Salient | None:
    """The section with the crops of what was found; None when nothing was."""
    source = work.source
    height, width = source.rgb.shape[:2]
    with work.clock.stage("crops"):
        boxes = scaled(findings.boxes, source.width_px / width, source.height_px / height)
        return atlas.build(
            source.rgb, source.width_px, source.height_px, rectangles(boxes, source.width_px, source.height_px)
        )


@dataclass(frozen=True, slots=True)
class _Rung:
    bundle: Bundle
    estimate: Estimate | None = None  # None: not measured
    step: int = -1  # of LADDER


def _climb(work: _Work, salient: Salient | None) -> _Rung:
    """The lowest rung of the ladder that is above the floor, else the highest; found by going up or down from START."""
    bundle = replace(work.bundle(), salient=salient)
    if work.request.engine in TEXT_ENGINES:
        bundle = work.with_prompt(bundle)
    tried: dict[int, Estimate] = {}

    def passes(step: int) -> bool:
        divisor, quality = LADDER[step]
        with work.clock.stage("thumbnail"):
            picture = avif_picture(reduced(work.source.rgb, divisor), quality, SEARCH_SPEED)
        with work.clock.stage("measure"):
            preview = _preview(work, replace(bundle, thumbnail=picture))
            tried[step] = work.judge.drawn(preview, divisor, quality)
            return work.judge.headroom(tried[step]) >= 0

    step = START
    if passes(step):
        while step > 0 and passes(step - 1):
            step -= 1
    else:
        while step < len(LADDER) - 1:
            step += 1
            if passes(step):
                break
    divisor, quality = LADDER[step]
    with work.clock.stage("thumbnail"):
        picture = best_coding(reduced(work.source.rgb, divisor), quality)
    return _Rung(replace(bundle, thumbnail=picture), tried[step], step)


def _preview(work: _Work, bundle: Bundle) -> npt.NDArray[np.uint8]:
    """What the bundle shows without a model, at working size."""
    height, width = work.source.rgb.shape[:2]
    image = render(replace(bundle, width_px=width, height_px=height, salient=None))
    if bundle.salient is not None:
        image = image.copy()
        for rectangle, crop in zip(bundle.salient.rectangles, crops(bundle.salient), strict=True):
            rows, columns = _working(rectangle, width / bundle.width_px, height / bundle.height_px)
            image[rows, columns] = resize(crop, columns.stop - columns.start, rows.stop - rows.start)
    return image


def _working(rectangle: Rectangle, horizontally: float, vertically: float) -> tuple[slice, slice]:
    """(rows, columns) of a rectangle in the working image, at least one pixel each."""
    top, left = int(rectangle.y_px * vertically), int(rectangle.x_px * horizontally)
    bottom = max(top + 1, int((rectangle.y_px + rectangle.height_px) * vertically))
    right = max(left + 1, int((rectangle.x_px + rectangle.width_px) * horizontally))
    return slice(top, bottom), slice(left, right)


def _finish(work: _Work, rung: _Rung, mode: str) -> Encoded:
    source, kind = work.source, work.analysis.kind
    similar = rung.estimate.vgg16 if rung.estimate else None
    size = source.width_px, source.height_px
    return Encoded(pack(rung.bundle), MEDIA_TYPE, mode, *size, kind, similar, work.clock.stage_ms)


@dataclass(slots=True)
class _Clock:
    """CPU milliseconds of this process by stage."""

    stage_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.process_time()
        try:
            yield
        finally:
            spent = (time.process_time() - start) * 1000
            self.stage_ms[name] = round(self.stage_ms.get(name, 0.0) + spent, 3)
