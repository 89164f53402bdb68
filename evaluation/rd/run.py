"""Rate and distortion from images to report.

In: a set of images, a plan. Out: `report.html` and `report.json`. Refuses: plans without a working engine
(`ValueError`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from evaluation.metrics import reading
from evaluation.metrics.likeness import faces
from evaluation.rd import report
from evaluation.rd.image import Plan, look
from evaluation.rd.summary import summarise
from evaluation.runs import experiment
from evaluation.sets.folder import Item

MODULES = ("evaluation.rd.image", "evaluation.rd.points", "evaluation.rd.curves", "evaluation.paper.image")


def run(items: Sequence[Item], plan: Plan, out: Path, workers: int, sheets: int = 8) -> tuple[Path, Path]:
    """Measure what is missing and write the report; the paths of (HTML, JSON)."""
    bench = experiment.bench(plan.engines, plan.metrics, plan.weights, MODULES)
    here = replace(plan, engines=tuple(bench.engines), metrics=bench.metrics)
    outcomes = experiment.measured({"images": items}, look, here, bench, out, workers)["images"]
    skipped = [*bench.skipped]
    if not plan.ocr or reading.why_not():
        skipped.append("ocr")
    if faces(plan.weights) is None:
        skipped.append("face")
    document = {
        "experiment": "rd",
        "plan": {key: value for key, value in asdict(here).items() if key != "weights"},
        "version": bench.version,
        "engines": bench.engines,
        "missing": bench.missing,
        "metrics": bench.metrics,
        "skipped": skipped,
        "summary": summarise(outcomes, bench.metrics, tuple(bench.engines)),
        "images": experiment.lean(outcomes),
    }
    return experiment.write(out, document, report.render(document, outcomes, sheets))
