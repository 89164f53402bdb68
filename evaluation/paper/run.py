"""The paper's experiments from images to report.

In: a representative set, perhaps a synthetic one, a plan. Out: `report.html` and `report.json`. Refuses: sets without
images, plans without a working engine (`ValueError`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evaluation.paper import known, report
from evaluation.paper.image import Plan, look
from evaluation.paper.summary import summarise
from evaluation.runs import experiment
from evaluation.sets.folder import Item

MODULES = ("evaluation.paper.image", "evaluation.paper.lossy", "evaluation.paper.outlines")
REPRESENTATIVE, SYNTHETIC = "representative", "synthetic"


def run(
    representative: Sequence[Item], synthetic: Sequence[Item], plan: Plan, out: Path, workers: int, sheets: int = 8
) -> tuple[Path, Path]:
    """Measure what is missing and write the report; the paths of (HTML, JSON)."""
    bench = experiment.bench(plan.engines, plan.metrics, plan.weights, MODULES)
    here = replace(plan, engines=tuple(bench.engines), metrics=bench.metrics)
    sets = {REPRESENTATIVE: representative} | ({SYNTHETIC: synthetic} if synthetic else {})
    outcomes = experiment.measured(sets, look, here, bench, out, workers)
    summaries: dict[str, Any] = {SYNTHETIC: None}
    summaries |= {name: summarise(listed, bench.engines, bench.missing) for name, listed in outcomes.items()}
    document = {
        "experiment": "paper",
        "plan": {key: value for key, value in asdict(here).items() if key != "weights"},
        "version": bench.version,
        "engines": bench.engines,
        "missing": bench.missing,
        "skipped": bench.skipped,
        "the_paper": {
            "title": known.TITLE,
            "mean_saved": known.MEAN_SAVED,
            "best_saved": known.BEST_SAVED,
            "saved_by_mode": known.SAVED_BY_MODE,
            "vgg16_similarity": known.SIMILARITY,
            "vgg16_random_pairs": known.RANDOM_PAIRS,
            "differences": known.DIFFERENCES,
        },
        "sets": {name: summaries[name] for name in (REPRESENTATIVE, SYNTHETIC)},
        "images": {name: experiment.lean(listed) for name, listed in outcomes.items()},
    }
    return experiment.write(out, document, report.render(document, outcomes, sheets))
