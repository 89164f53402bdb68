"""Whether what must be true stays true: faces, codes and text of labelled images, and their kinds.

In: a folder of images and labels by file name (`labels/web.json`). Out: the share of labelled boxes that are real
pixels, crops of nothing, CPU time by stage, and every image that was generated against its kind. Refuses: folders
without a labelled image (`ValueError`).

A box is real when its image travels as a classical file (or the encoder declined it), or when COVERED of it lies in the
bundle's crops. Both the share over all images and the share inside bundles are printed: the second is the detectors'
own. No labelled image holds a QR code, so codes are planted into its photographs (`planted`). Labels are boxes in the
original's pixels, (x, y, width, height), drawn by the detectors at a low threshold and then corrected by eye, misses
included; text counts from MIN_TEXT_PX of the shorter side, after the image was scaled.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from proxy.bundle import MEDIA_TYPE, SalientKind, unpack
from proxy.cli.batch import scaled as scaled_file
from proxy.encode import Declined, Encoded, EncodeRequest, encode
from proxy.encode.salient import available, detect, warm
from proxy.encode.salient.boxes import Box, box_of, covered, rectangles, scaled
from proxy.encode.source import open_source
from proxy.policy import Skip

LABELS = Path(__file__).parent / "labels"
FORMATS = ("avif", "webp")  # what browsers accept
ENGINE = "sketch"
NOTHING = 0.2  # a crop with less of it in labelled boxes is of nothing
STAGES = {
    "detectors": ("detect",),
    "chooser": ("analyse", "measure"),
    "codecs": ("open", "thumbnail", "crops", "classical"),
}
COVERED = 0.9
MIN_TEXT_PX = 12
PLANTED_SHARE, PLANTED_LEAST_PX = 0.09, 48  # a planted code's side: of the working image's longer side, and at least
THINGS = {"faces": SalientKind.FACE, "codes": SalientKind.CODE, "text": SalientKind.TEXT}
GOALS = {"faces": 0.98, "codes": 0.98, "text": 0.95}
NEVER_GENERATED = frozenset(("screenshot", "chart", "map", "code", "text-heavy", "title-card", "logo", "graphic"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One labelled image: what became of it, how much of each labelled box is in its crops (1.0 when it travels as a
    file), and the crops of nothing by kind, with their share of the atlas's bytes by area.
    """

    file: str
    kind: str
    reason: str  # empty when a bundle was made
    covered: Mapping[str, tuple[float, ...]]
    false_crops: tuple[str, ...]
    false_bytes: float
    crop_bytes: int
    bundle_bytes: int
    original_bytes: int
    faces: int
    cpu_ms: float
    detect_ms: float | None
    stage_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def generated(self) -> bool:
        return not self.reason


def boxes_of(label: Mapping[str, Any], thing: str, scale: float = 1.0) -> list[Box]:
    """The labelled boxes of one thing (faces, codes, text), in the pixels of the image scaled by `scale`."""
    boxes = scaled([Box(x, y, x + w, y + h, THINGS[thing]) for x, y, w, h in label.get(thing, [])], scale, scale)
    return [box for box in boxes if thing != "text" or min(box.width, box.height) > MIN_TEXT_PX]


def examine(path: Path, label: Mapping[str, Any], scale_to_px: int = 0) -> Outcome:
    """Encode one image as the proxy would, its long side reduced to `scale_to_px` unless 0, and look where its labelled
    boxes went.
    """
    data, scale = path.read_bytes(), 1.0
    if scale_to_px:
        with Image.open(io.BytesIO(data)) as image:
            scale = min(1.0, scale_to_px / max(image.size))
        data = scaled_file(data, scale_to_px)
    start = time.process_time()
    answer = encode(EncodeRequest(data, engine=ENGINE, formats=FORMATS))
    cpu_ms = (time.process_time() - start) * 1000
    wanted = {thing: boxes_of(label, thing, scale) for thing in THINGS}
    outcome = Outcome(
        file=path.name,
        kind=str(label["kind"]),
        reason=_reason(answer),
        covered={thing: (1.0,) * len(boxes) for thing, boxes in wanted.items()},
        false_crops=(),
        false_bytes=0.0,
        crop_bytes=0,
        bundle_bytes=0,
        original_bytes=len(data),
        faces=0,
        cpu_ms=cpu_ms,
        detect_ms=answer.stage_ms.get("detect"),
        stage_ms=answer.stage_ms,
    )
    if isinstance(answer, Declined) or outcome.reason:
        return outcome
    salient = unpack(answer.body).salient
    crops = [box_of(rectangle) for rectangle in salient.rectangles] if salient else []
    everything = [box for boxes in wanted.values() for box in boxes]
    wrong = [crop for crop in crops if covered(crop, everything) < NOTHING]
    crop_bytes = len(salient.atlas.payload) if salient else 0
    return replace(
        outcome,
        covered={thing: tuple(covered(box, crops) for box in boxes) for thing, boxes in wanted.items()},
        false_crops=tuple(crop.kind.name.lower() for crop in wrong),
        false_bytes=crop_bytes * sum(c.area for c in wrong) / max(sum(c.area for c in crops), 1.0),
        crop_bytes=crop_bytes,
        bundle_bytes=len(answer.body),
        faces=sum(crop.kind is SalientKind.FACE for crop in crops),
    )


def _reason(answer: Encoded | Declined) -> str:
    """Why no bundle was made: the format of the file that was made instead, or why nothing was; empty for a bundle."""
    if isinstance(answer, Declined):
        return str(answer.reason)
    return "" if answer.media_type == MEDIA_TYPE else answer.mode


def planted(paths: Iterable[Path]) -> tuple[int, int]:
    """(codes found, codes planted): a QR code set into each photograph, saved as JPEG and searched for as the encoder
    does.
    """
    hits = count = 0
    for number, path in enumerate(paths):
        source = open_source(path.read_bytes(), 100_000_000)
        if isinstance(source, Skip):
            continue
        height, width = source.rgb.shape[:2]
        modules = cv2.QRCodeEncoder.create().encode(f"https://example.org/{number:04d}")
        modules = cv2.copyMakeBorder(modules, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=255)
        side = max(PLANTED_LEAST_PX, round(PLANTED_SHARE * max(height, width)))
        x, y = (37 * number) % max(width - side, 1), (53 * number) % max(height - side, 1)
        image = source.rgb.copy()
        image[y : y + side, x : x + side] = cv2.resize(modules, (side, side), interpolation=cv2.INTER_AREA)[..., None]
        out = io.BytesIO()
        Image.fromarray(image).save(out, "JPEG", quality=85)
        crops = rectangles(detect(np.asarray(Image.open(out))).of(SalientKind.CODE), width, height)
        code = Box(x, y, x + side, y + side, SalientKind.CODE)
        hits, count = hits + (covered(code, [box_of(r) for r in crops]) >= COVERED), count + 1
    return hits, count


def share(outcomes: Iterable[Outcome], thing: str) -> tuple[int, int]:
    """(labelled boxes that are real pixels, labelled boxes) over `outcomes`."""
    shares = [value for outcome in outcomes for value in outcome.covered[thing]]
    return sum(value >= COVERED for value in shares), len(shares)


def report(outcomes: Sequence[Outcome]) -> list[str]:
    """The lines to print, findings that break a promise last."""
    generated = [outcome for outcome in outcomes if outcome.generated]
    files = sum(outcome.reason in FORMATS for outcome in outcomes)
    kept = len(outcomes) - len(generated) - files
    lines = [f"{len(outcomes)} labelled images: {len(generated)} bundles, {files} files, {kept} left alone"]
    for thing, goal in GOALS.items():
        (real, count), (inside, of) = share(outcomes, thing), share(generated, thing)
        lines.append(
            f"{thing:6} real pixels {real}/{count}{_percent(real, count)} (goal {goal:.0%}); "
            f"in bundles alone {inside}/{of}{_percent(inside, of)}"
        )
    with_crops = [outcome for outcome in generated if outcome.crop_bytes]
    wrong = Counter(kind for outcome in generated for kind in outcome.false_crops)
    lines.append(
        f"crops of nothing labelled: {wrong.total()} ({', '.join(f'{kind} {n}' for kind, n in wrong.most_common())}), "
        f"{wrong.total() / max(len(generated), 1):.2f} a bundle, {sum(o.false_bytes for o in generated):,.0f} of "
        f"{sum(o.bundle_bytes for o in generated):,} bytes"
    )
    per_face = [o.crop_bytes / o.faces for o in with_crops if o.faces and not o.covered["text"]]
    if per_face:
        lines.append(f"bytes per face: median {statistics.median(per_face):.0f}, most {max(per_face):.0f}")
    if with_crops:
        added = statistics.median(o.crop_bytes / (o.bundle_bytes - o.crop_bytes) for o in with_crops)
        lines.append(f"{len(with_crops)} bundles with crops: {added:.0%} more bytes than without (median)")
    lines += costs(outcomes)
    for outcome in generated:
        if outcome.kind in NEVER_GENERATED:
            lines.append(f"GENERATED although a {outcome.kind}: {outcome.file}")
        if outcome.false_crops:
            lines.append(f"of nothing labelled: {', '.join(outcome.false_crops)} in {outcome.file}")
        for thing in THINGS:
            missed = sum(value < COVERED for value in outcome.covered[thing])
            if missed:
                lines.append(f"missed: {missed} of {len(outcome.covered[thing])} {thing} in {outcome.file}")
    return lines


def costs(outcomes: Sequence[Outcome]) -> list[str]:
    """CPU time of this process, for all images and for those that were searched, in sum and by part."""
    lines = []
    for name, those in (
        ("all", list(outcomes)),
        ("searched", [outcome for outcome in outcomes if outcome.detect_ms is not None]),
    ):
        if not those:
            continue
        parts = {part: [sum(o.stage_ms.get(s, 0.0) for s in stages) for o in those] for part, stages in STAGES.items()}
        lines.append(
            f"CPU ms, {name} {len(those)}: {_spread([o.cpu_ms for o in those])}; "
            + "; ".join(f"{part} {_spread(spent)}" for part, spent in parts.items())
        )
        stages = dict.fromkeys(stage for outcome in those for stage in outcome.stage_ms)
        means = {stage: statistics.mean(o.stage_ms.get(stage, 0.0) for o in those) for stage in stages}
        lines.append("  means by stage: " + ", ".join(f"{stage} {mean:.0f}" for stage, mean in means.items()))
    return lines


def _spread(values: Sequence[float]) -> str:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"median {statistics.median(ordered):.0f}, p95 {p95:.0f}"


def _percent(part: int, whole: int) -> str:
    return f" = {part / whole:.1%}" if whole else ""


def labels_of(data: Path) -> Path:
    """The labels of a folder of images, by its name; those of the web set if there are none."""
    named = LABELS / f"{data.resolve().name}.json"
    return named if named.is_file() else LABELS / "web.json"


def run(data: Path, labels: Path | None = None, scale_to_px: int = 0) -> list[Outcome]:
    """Every labelled image that lies in `data`. Raises ValueError when none does."""
    known: dict[str, dict[str, Any]] = json.loads((labels or labels_of(data)).read_text(encoding="utf-8"))
    present = [(data / name, label) for name, label in sorted(known.items()) if (data / name).is_file()]
    if not present:
        raise ValueError(f"none of the {len(known)} labelled images is in {data}")
    cv2.setNumThreads(1)
    warm()
    return [examine(path, label, scale_to_px) for path, label in present]


def main() -> None:
    """Print the report of the labelled images in --data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled images")
    parser.add_argument("--labels", type=Path, help="JSON: file name to kind and boxes; that of the folder's name")
    parser.add_argument("--scale-to", type=int, default=0, help="long side in pixels to reduce images to first")
    parser.add_argument("--no-planted", action="store_true", help="plant no QR codes")
    options = parser.parse_args()
    print("detectors:", ", ".join(f"{name} {'yes' if here else 'NO'}" for name, here in available().items()))
    try:
        outcomes = run(options.data, options.labels, options.scale_to)
    except ValueError as error:
        parser.error(str(error))
    print("\n".join(report(outcomes)))
    if not options.no_planted:
        hits, count = planted(options.data / o.file for o in outcomes if o.kind == "photograph")
        print(f"planted QR codes found {hits}/{count}{_percent(hits, count)} (goal {GOALS['codes']:.0%})")


if __name__ == "__main__":
    main()
