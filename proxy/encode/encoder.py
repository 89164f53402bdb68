"""One image to one bundle, or a reason why not.

In: an `EncodeRequest`. Out: `Encoded` or `Declined`, with the milliseconds of each stage. Refuses (as `Declined`):
what `proxy.encode.source` refuses, and in `auto` also graphics, images of text, codes or crowds, images below the
quality floor and bundles without gain.

`auto` climbs a ladder of thumbnails, from coarse and cheap to fine and dear, and takes the first that is well above
the floor, or the last. Which scale is best at a given rate was measured on training photographs: ÷4 below 0.02 bits
per pixel, ÷3 up to 0.04, ÷2 above. Faces, lines of text and codes that the detectors find come along as crops of
real pixels; a bundle must pay with them, or not be made.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import sqrt

from proxy.bundle import MEDIA_TYPE, Bundle, Rectangle, Salient, pack
from proxy.bundle.pixels import crops
from proxy.bundle.preview import render
from proxy.bundle.resample import resize
from proxy.encode import classical
from proxy.encode.analyse import GENERATED, Analysis, analyse
from proxy.encode.edges import edges_within
from proxy.encode.pictures import best_coding, palette, reduced, thumbnail
from proxy.encode.prompt import prompt_for
from proxy.encode.quality import score
from proxy.encode.request import (
    AUTO,
    EDGES,
    EDGES_PALETTE,
    PROMPT,
    SALIENT,
    THUMBNAIL,
    Declined,
    Encoded,
    EncodeRequest,
)
from proxy.encode.salient import Findings, atlas, detect
from proxy.encode.salient.boxes import rectangles, scaled
from proxy.encode.salient.verdict import named_logo, verdict
from proxy.encode.source import Source, open_source
from proxy.policy import Reason, Skip

# Bytes grow with the side, not the area: a picture twice as wide is looked at in the same column of the same page.
BYTES_PER_SIDE_PX = 3.0
MIN_BUDGET_BYTES = 1200.0
AIM_ABOVE_FLOOR = 0.13  # the ladder is climbed until the score is this far above the floor
HOPELESS = 0.12  # a score this far below the aim: the next rung but one is tried at once
LADDER = ((4, 0.5), (3, 1.0), (2, 1.6))  # (divisor, share of the budget)
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
    """The bundle for `request.data`, or why there is none. Never raises on bad images."""
    clock = _Clock()
    automatic = request.mode == AUTO
    if automatic and len(request.data) < request.min_bytes:
        return Declined(Reason.TOO_SMALL, f"{len(request.data)} bytes")
    with clock.stage("open"):
        source = open_source(request.data, request.max_pixels)
    if isinstance(source, Skip):
        return Declined(source.reason, source.detail, stage_ms=clock.stage_ms)
    if automatic and source.width_px * source.height_px < MIN_AUTO_PIXELS:
        return Declined(Reason.TOO_SMALL, f"{source.width_px}×{source.height_px} px", stage_ms=clock.stage_ms)
    with clock.stage("analyse"):
        analysis = analyse(source.rgb, source.format)
        digest = hashlib.sha256(request.data).digest()
    work = _Work(request, source, analysis, digest, clock)
    return _automatic(work) if automatic else _explicit(work)


def _explicit(work: _Work) -> Encoded:
    mode = work.request.mode
    if mode == THUMBNAIL:
        rung = _climb(work)
        return _finish(work, rung.bundle, mode, rung.score)
    if mode == SALIENT:
        rung = _with_crops(work, _climb(work), _crops(work, _detected(work)))
        return _finish(work, rung.bundle, mode, rung.score)
    with work.clock.stage(mode):
        bundle = work.with_prompt(work.bundle())
        if mode in (EDGES, EDGES_PALETTE):
            bundle = replace(bundle, edges=edges_within(work.source.rgb, int(EDGE_SHARE * work.budget_bytes)))
        if mode == EDGES_PALETTE:
            bundle = replace(bundle, palette=palette(work.source.rgb))
        assert mode in (PROMPT, EDGES, EDGES_PALETTE)
    return _finish(work, bundle, mode, None)


def _automatic(work: _Work) -> Encoded | Declined:
    def declined(reason: Reason, detail: str) -> Declined:
        return Declined(reason, detail, work.analysis.kind, work.clock.stage_ms)

    kind = work.analysis.kind
    if kind not in GENERATED:
        return declined(Reason.KIND, f"{kind}: shown as real pixels")
    if THUMBNAIL not in work.request.modes:
        return declined(Reason.NO_GAIN, "the receiver cannot draw thumbnails")
    if named_logo(work.request.words, work.analysis):
        return declined(Reason.KIND, "a logo or an icon, the page says")
    salient = None
    if work.request.detect:
        findings = _detected(work)
        if findings.unfinished:
            return declined(Reason.KIND, f"could not be searched for {' and '.join(findings.unfinished)}")
        height, width = work.source.rgb.shape[:2]
        other = verdict(work.analysis, findings, width, height)
        if other is not None:
            return Declined(Reason.KIND, f"{other.detail}: shown as real pixels", other.kind, work.clock.stage_ms)
        if findings.boxes and SALIENT not in work.request.modes:
            return declined(Reason.NO_GAIN, "the receiver cannot paste crops")
        salient = _crops(work, findings)
    plain = _climb(work)
    rung = _with_crops(work, plain, salient)
    if rung.score < work.request.floor:
        return declined(Reason.NO_GAIN, f"similarity {rung.score:.3f} is below the floor of {work.request.floor:.3f}")
    encoded = _finish(work, rung.bundle, SALIENT if salient else THUMBNAIL, rung.score)
    if len(encoded.body) > classical.MAX_SHARE * len(work.request.data):
        share = f", {len(salient.atlas.payload)} of them for crops" if salient else ""
        return declined(
            Reason.NO_GAIN, f"{len(encoded.body)} bytes{share}, for an original of {len(work.request.data)}"
        )
    with work.clock.stage("classical"):
        # Without the crops: a file that only looks as good as the thumbnail smears what they are there to keep.
        without_crops = len(pack(plain.bundle)) if salient else len(encoded.body)
        better = classical.beats(work.source.rgb, without_crops, plain.score)
    return declined(Reason.NO_GAIN, better) if better else encoded


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
    score: float


def _with_crops(work: _Work, rung: _Rung, salient: Salient | None) -> _Rung:
    """`rung` with its crops, measured again."""
    if salient is None:
        return rung
    bundle = replace(rung.bundle, salient=salient)
    with work.clock.stage("measure"):
        return _Rung(bundle, _similarity(work, bundle))


def _climb(work: _Work) -> _Rung:
    """The first rung of the ladder that reaches the aim, else the last."""
    bundle = work.bundle()
    if work.request.engine in TEXT_ENGINES:
        bundle = work.with_prompt(bundle)
    aim = work.request.floor + AIM_ABOVE_FLOOR
    step = 0
    while True:
        divisor, share = LADDER[step]
        budget = int(share * work.budget_bytes)
        with work.clock.stage("thumbnail"):
            picture, quality = thumbnail(work.source.rgb, divisor, budget)
            if len(picture.payload) > budget and step:  # too busy for this scale: coarser, at the same budget
                divisor = LADDER[step - 1][0]
                picture, quality = thumbnail(work.source.rgb, divisor, budget)
        with work.clock.stage("measure"):
            similarity = _similarity(work, replace(bundle, thumbnail=picture))
        if similarity >= aim or step == len(LADDER) - 1:
            break
        step = min(step + (2 if similarity < aim - HOPELESS else 1), len(LADDER) - 1)
    with work.clock.stage("thumbnail"):
        picture = best_coding(reduced(work.source.rgb, divisor), quality)
    return _Rung(replace(bundle, thumbnail=picture), similarity)


def _similarity(work: _Work, bundle: Bundle) -> float:
    """The preview's score at working size; the engines' is at least about as high."""
    height, width = work.source.rgb.shape[:2]
    image = render(replace(bundle, width_px=width, height_px=height, salient=None))
    if bundle.salient is not None:
        image = image.copy()
        for rectangle, crop in zip(bundle.salient.rectangles, crops(bundle.salient), strict=True):
            rows, columns = _working(rectangle, width / bundle.width_px, height / bundle.height_px)
            image[rows, columns] = resize(crop, columns.stop - columns.start, rows.stop - rows.start)
    return score(work.source.rgb, image)


def _working(rectangle: Rectangle, horizontally: float, vertically: float) -> tuple[slice, slice]:
    """(rows, columns) of a rectangle in the working image, at least one pixel each."""
    top, left = int(rectangle.y_px * vertically), int(rectangle.x_px * horizontally)
    bottom = max(top + 1, int((rectangle.y_px + rectangle.height_px) * vertically))
    right = max(left + 1, int((rectangle.x_px + rectangle.width_px) * horizontally))
    return slice(top, bottom), slice(left, right)


def _finish(work: _Work, bundle: Bundle, mode: str, similarity: float | None) -> Encoded:
    source, kind = work.source, work.analysis.kind
    return Encoded(
        pack(bundle), MEDIA_TYPE, mode, source.width_px, source.height_px, kind, similarity, work.clock.stage_ms
    )


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
