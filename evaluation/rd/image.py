"""One image: its rate–distortion points, its bundles in every mode, and what they lose without each section.

In: an `Item` and a `Plan`. Out: a JSON record. Refuses: what cannot be opened (`ValueError`); images that are not
opaque have a record that says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation import drawn
from evaluation.codecs import Coded
from evaluation.made import Made, make, paper_salient, without
from evaluation.metrics import likeness, reading
from evaluation.metrics.measure import Measure
from evaluation.paper.image import MAX_PIXELS, measure_with
from evaluation.pictures import at_view, like, shown
from evaluation.rd import points
from evaluation.rd.curves import front
from evaluation.runs.store import Record
from evaluation.sets.folder import Item
from proxy.encode.request import AUTO, EDGES, EDGES_PALETTE, SALIENT, THUMBNAIL
from proxy.encode.salient import faces
from proxy.encode.source import open_source
from proxy.policy import Reason, Skip

RGB = npt.NDArray[np.uint8]
MODES = (AUTO, SALIENT, THUMBNAIL, EDGES_PALETTE, EDGES)
SECTIONS = ("prompt", "edges", "salient")
FULLY = 5  # points of a family that are measured with every metric, for each cheap one
CHEAP = ("lpips_alex", "psnr")
SHOWN_BPP = 0.06


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured. `view_px` is the long side of the pictures that the curves are made of, 0 keeps their size."""

    engines: tuple[str, ...] = ("sketch", "preview")
    metrics: tuple[str, ...] = ("lpips_alex", "dists", "vgg16", "ms_ssim", "psnr")
    view_px: int = 512
    weights: Path | None = None
    detect: bool = True
    curves: bool = True
    ocr: bool = True


def look(item: Item, plan: Plan) -> Record:
    """The record of one image. Raises ValueError for broken files."""
    data = item.path.read_bytes()
    source = open_source(data, MAX_PIXELS)
    if isinstance(source, Skip):
        if source.reason in (Reason.BROKEN, Reason.UNSUPPORTED_FORMAT):
            raise ValueError(f"{source.reason.value}: {source.detail}")
        return {"left_out": f"{source.reason.value}: {source.detail}"}
    view = at_view(source.rgb, plan.view_px)
    measure = measure_with(plan.weights)
    measure.against(view)
    pictures = {"original": shown(view)}
    record: Record = {"original_bytes": len(data), "width_px": source.width_px, "height_px": source.height_px}
    record |= {"pixels": view.shape[0] * view.shape[1], "category": item.category, "pictures": pictures}
    if plan.curves:
        record["points"] = _points(view, measure, plan, pictures)
    main = plan.engines[0]
    made = {mode: make(data, mode, item.caption, main, plan.detect) for mode in MODES}
    seen = _Seen(view, measure, plan)
    record["modes"] = {mode: seen.row(made[mode], pictures if mode == AUTO else None) for mode in MODES}
    record["ablations"] = _ablations(made, seen)
    return record


def _points(view: RGB, measure: Measure, plan: Plan, pictures: dict[str, str]) -> list[dict[str, Any]]:
    """All encodings, cheaply measured; those on a cheap metric's front, thinned, with every metric of the plan."""
    cheap = [name for name in CHEAP if name in measure.names]
    by_family: dict[str, list[tuple[Coded, dict[str, float]]]] = {}
    for family, coded in (*points.classical(view), *points.ours(view, plan.engines)):
        by_family.setdefault(family, []).append((coded, measure(coded.picture, cheap)))
    rows: list[dict[str, Any]] = []
    for family, codings in by_family.items():
        leading = _leading(codings, cheap)
        for number, (coded, values) in enumerate(codings):
            if number in leading:
                rest = [name for name in plan.metrics if name not in values]
                row = {"family": family, "setting": coded.setting, "bytes": coded.size_bytes}
                rows.append({**row, **values, **measure(coded.picture, rest)})
        _show(family, codings, cheap[0], int(SHOWN_BPP * view.shape[0] * view.shape[1] / 8), pictures)
    return rows


def _leading(codings: list[tuple[Coded, dict[str, float]]], cheap: list[str]) -> set[int]:
    """The numbers of the codings on the front of any cheap metric, at most FULLY of each, spread over the rates."""
    chosen: set[int] = set()
    for metric in cheap:
        numbered = {(float(c.size_bytes), v[metric]): n for n, (c, v) in enumerate(codings)}
        best = front(metric, list(numbered))
        keep = min(FULLY, len(best))
        chosen |= {numbered[best[round(i * (len(best) - 1) / max(1, keep - 1))]] for i in range(keep)}
    return chosen


def _show(
    family: str, codings: list[tuple[Coded, dict[str, float]]], metric: str, budget: int, pictures: dict[str, str]
) -> None:
    fitting = [(float(c.size_bytes), v[metric]) for c, v in codings if c.size_bytes <= budget]
    if fitting:
        best = front(metric, fitting)[-1]
        picture = next(c.picture for c, v in codings if (float(c.size_bytes), v[metric]) == best)
        pictures[family] = shown(picture)


class _Seen:
    """Draws bundles with the first engine and measures them; what cannot change between them is found once."""

    def __init__(self, view: RGB, measure: Measure, plan: Plan) -> None:
        self.view, self.measure, self.plan = view, measure, plan
        self._reader = reading.reader() if plan.ocr else None
        self._lines = self._reader.lines(view) if self._reader else []
        self._faces = likeness.faces(plan.weights)
        self._boxes = _faces_in(view) if self._faces else []

    def row(self, made: Made, pictures: dict[str, str] | None = None, more: bool = False) -> dict[str, Any]:
        """A mode's or an ablation's bytes, times and metrics; with `more` also reading and faces."""
        row: dict[str, Any] = {"encode_cpu_ms": round(made.encode_cpu_ms, 1), "kind": made.kind}
        if made.bundle is None:
            return {**row, "reason": made.reason}
        row |= {"bytes": made.size_bytes, "sections": made.sections}
        result = drawn.draw(self.plan.engines[0], made.bundle)
        if result is None:
            return row
        picture = like(result.picture, self.view)
        row |= {"draw_ms": round(result.draw_ms, 1), **self.measure(picture, self.plan.metrics)}
        if pictures is not None:
            pictures[made.mode] = shown(picture)
        if more:
            rates = {
                "ocr": self._reader.error_rate(self.view, picture, self._lines) if self._reader else None,
                "face": self._faces.similarity(self.view, picture, self._boxes) if self._faces else None,
            }
            row |= {name: value for name, value in rates.items() if value is not None}
        return row


def _ablations(made: dict[str, Made], seen: _Seen) -> dict[str, Any]:
    """The paper's bundle (prompt, edges, palette, crops) and ours (thumbnail, crops), whole and without each part."""
    found: dict[str, Any] = {}
    for name, whole in (("paper", paper_salient(made[EDGES_PALETTE], made[SALIENT])), ("ours", made[SALIENT])):
        if whole.bundle is None:
            continue
        lesser = {section: without(whole, section) for section in SECTIONS}
        parts = {section: part for section, part in lesser.items() if part is not None}
        if parts:
            rows = {section: seen.row(part, more=section == "salient") for section, part in parts.items()}
            found[name] = {"whole": seen.row(whole, more=True), "without": rows}
    return found


def _faces_in(view: RGB) -> list[likeness.Box]:
    if not faces.available():
        return []
    return [(box.left, box.top, box.width, box.height) for box in faces.load()(view)]
