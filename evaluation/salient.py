"""Whether what must be true stays true: faces, codes and text of labelled images, and their kinds.

In: a folder of images and labels by file name (`labels/web.json`). Out: the share of labelled boxes that are real
pixels, and every image that was generated against its kind. Refuses: folders without a labelled image (`ValueError`).

A box is real when its image travels as a classical file (the encoder declined it), or when COVERED of it lies in the
bundle's crops. Both the share over all images and the share inside bundles are printed: the second is the detectors'
own. No labelled image holds a QR code, so codes are planted into its photographs (`planted`). Labels are boxes in the
original's pixels, (x, y, width, height), drawn by the detectors at a low threshold and then corrected by eye, misses
included; text counts from MIN_TEXT_PX of the shorter side.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from proxy.bundle import SalientKind, unpack
from proxy.encode import Declined, EncodeRequest, encode
from proxy.encode.salient import available, detect, warm
from proxy.encode.salient.boxes import Box, box_of, covered, rectangles
from proxy.encode.source import open_source
from proxy.policy import Skip

LABELS = Path(__file__).parent / "labels" / "web.json"
COVERED = 0.9
MIN_TEXT_PX = 12
PLANTED_SHARE, PLANTED_LEAST_PX = 0.09, 48  # a planted code's side: of the working image's longer side, and at least
THINGS = {"faces": SalientKind.FACE, "codes": SalientKind.CODE, "text": SalientKind.TEXT}
GOALS = {"faces": 0.98, "codes": 0.98, "text": 0.95}
NEVER_GENERATED = frozenset(("screenshot", "chart", "map", "code", "text-heavy", "title-card", "logo", "graphic"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One labelled image: what became of it, and how much of each labelled box is in its crops (1.0 when declined)."""

    file: str
    kind: str
    reason: str  # empty when a bundle was made
    covered: Mapping[str, tuple[float, ...]]
    false_crops: int
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


def boxes_of(label: Mapping[str, Any], thing: str) -> list[Box]:
    """The labelled boxes of one thing (faces, codes, text), in the original's pixels."""
    boxes = [Box(x, y, x + w, y + h, THINGS[thing]) for x, y, w, h in label.get(thing, [])]
    return [box for box in boxes if thing != "text" or min(box.width, box.height) > MIN_TEXT_PX]


def examine(path: Path, label: Mapping[str, Any]) -> Outcome:
    """Encode one image as the proxy would, and look where its labelled boxes went."""
    data = path.read_bytes()
    start = time.process_time()
    answer = encode(EncodeRequest(data))
    cpu_ms = (time.process_time() - start) * 1000
    wanted = {thing: boxes_of(label, thing) for thing in THINGS}
    detect_ms = answer.stage_ms.get("detect")
    kind = str(label["kind"])
    if isinstance(answer, Declined):
        real = {thing: (1.0,) * len(boxes) for thing, boxes in wanted.items()}
        return Outcome(
            path.name, kind, str(answer.reason), real, 0, 0, 0, len(data), 0, cpu_ms, detect_ms, answer.stage_ms
        )
    salient = unpack(answer.body).salient
    crops = [box_of(rectangle) for rectangle in salient.rectangles] if salient else []
    everything = [box for boxes in wanted.values() for box in boxes]
    return Outcome(
        file=path.name,
        kind=kind,
        reason="",
        covered={thing: tuple(covered(box, crops) for box in boxes) for thing, boxes in wanted.items()},
        false_crops=sum(covered(crop, everything) < 0.2 for crop in crops),
        crop_bytes=len(salient.atlas.payload) if salient else 0,
        bundle_bytes=len(answer.body),
        original_bytes=len(data),
        faces=sum(crop.kind is SalientKind.FACE for crop in crops),
        cpu_ms=cpu_ms,
        detect_ms=detect_ms,
        stage_ms=answer.stage_ms,
    )


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
    lines = [f"{len(outcomes)} labelled images: {len(generated)} bundles, {len(outcomes) - len(generated)} left alone"]
    for thing, goal in GOALS.items():
        (real, count), (inside, of) = share(outcomes, thing), share(generated, thing)
        lines.append(
            f"{thing:6} real pixels {real}/{count}{_percent(real, count)} (goal {goal:.0%}); "
            f"in bundles alone {inside}/{of}{_percent(inside, of)}"
        )
    with_crops = [outcome for outcome in generated if outcome.crop_bytes]
    lines.append(f"crops of nothing labelled: {sum(outcome.false_crops for outcome in generated)}")
    per_face = [o.crop_bytes / o.faces for o in with_crops if o.faces and not o.covered["text"]]
    if per_face:
        lines.append(f"bytes per face: median {statistics.median(per_face):.0f}, most {max(per_face):.0f}")
    if with_crops:
        added = statistics.median(o.crop_bytes / (o.bundle_bytes - o.crop_bytes) for o in with_crops)
        lines.append(f"{len(with_crops)} bundles with crops: {added:.0%} more bytes than without (median)")
    searched = sorted(outcome.cpu_ms for outcome in outcomes if outcome.detect_ms is not None)
    if searched:
        detectors = statistics.median(o.detect_ms for o in outcomes if o.detect_ms is not None)
        p95 = searched[min(len(searched) - 1, int(0.95 * len(searched)))]
        lines.append(
            f"CPU ms of the {len(searched)} images that were searched: median {statistics.median(searched):.0f}, "
            f"p95 {p95:.0f}; detectors {detectors:.0f} (median)"
        )
    for outcome in generated:
        if outcome.kind in NEVER_GENERATED:
            lines.append(f"GENERATED although a {outcome.kind}: {outcome.file}")
        for thing in THINGS:
            missed = sum(value < COVERED for value in outcome.covered[thing])
            if missed:
                lines.append(f"missed: {missed} of {len(outcome.covered[thing])} {thing} in {outcome.file}")
    return lines


def _percent(part: int, whole: int) -> str:
    return f" = {part / whole:.1%}" if whole else ""


def run(data: Path, labels: Path = LABELS) -> list[Outcome]:
    """Every labelled image that lies in `data`. Raises ValueError when none does."""
    known: dict[str, dict[str, Any]] = json.loads(labels.read_text(encoding="utf-8"))
    present = [(data / name, label) for name, label in sorted(known.items()) if (data / name).is_file()]
    if not present:
        raise ValueError(f"none of the {len(known)} labelled images is in {data}")
    cv2.setNumThreads(1)
    warm()
    return [examine(path, label) for path, label in present]


def main() -> None:
    """Print the report of the labelled images in --data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled images")
    parser.add_argument("--labels", type=Path, default=LABELS, help="JSON: file name to kind and boxes")
    options = parser.parse_args()
    print("detectors:", ", ".join(f"{name} {'yes' if here else 'NO'}" for name, here in available().items()))
    try:
        outcomes = run(options.data, options.labels)
    except ValueError as error:
        parser.error(str(error))
    print("\n".join(report(outcomes)))
    hits, count = planted(options.data / o.file for o in outcomes if o.kind == "photograph")
    print(f"planted QR codes found {hits}/{count}{_percent(hits, count)} (goal {GOALS['codes']:.0%})")


if __name__ == "__main__":
    main()
