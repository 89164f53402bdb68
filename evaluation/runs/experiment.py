"""What every experiment does around its own work: engines, metrics, the run with a progress bar, the files at the end.

In: sets of images, a job, its plan. Out: outcomes; `report.html` and `report.json` in the output folder. Refuses:
engines of which none works here, metrics that do not exist (`ValueError`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evaluation import drawn
from evaluation.metrics.measure import METRICS, NETWORK_METRICS, weight_files
from evaluation.runs import version
from evaluation.runs.schedule import Job, Outcome, run
from evaluation.runs.store import Record, Store
from evaluation.sets.folder import Item

HTML, JSON = "report.html", "report.json"
_BULKY = ("pictures", "patches", "vector")


@dataclass(frozen=True, slots=True)
class Bench:
    """What there is to measure with: engines' labels by name, reasons of those missing, metrics and those skipped."""

    engines: dict[str, str]
    missing: dict[str, str]
    metrics: tuple[str, ...]
    skipped: tuple[str, ...]
    version: str


def bench(engines: Sequence[str], metrics: Sequence[str], weights: Path | None, modules: Sequence[str]) -> Bench:
    """What works here of what was asked for; `modules` are the experiment's own. Raises ValueError."""
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise ValueError(f"unknown metric {unknown[0]!r}; known: {', '.join(METRICS)}")
    found = {name: drawn.engine(name) for name in engines}
    missing = {name: e.reason for name, e in found.items() if isinstance(e, drawn.Missing)}
    labels = {name: e.capabilities().label for name, e in found.items() if not isinstance(e, drawn.Missing)}
    if not labels:
        raise ValueError(f"no engine works here: {'; '.join(missing.values())}")
    files = weight_files(weights)
    there = tuple(name for name in metrics if files or name not in NETWORK_METRICS)
    digest = version.digest((*modules, "evaluation.sets"), files)
    return Bench(labels, missing, there, tuple(m for m in metrics if m not in there), digest)


def measured(
    sets: Mapping[str, Sequence[Item]], job: Job, plan: Any, bench_here: Bench, out: Path, workers: int
) -> dict[str, list[Outcome]]:
    """All outcomes by set; what is in the folder's store already is not measured again."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    terms = " ".join((bench_here.version, *bench_here.engines.values()))
    outcomes: dict[str, list[Outcome]] = {}
    with Store(out) as store, Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        for name, items in sets.items():
            task = progress.add_task(name, total=len(items))
            outcomes[name] = run(items, job, plan, terms, store, workers, lambda _, t=task: progress.advance(t))  # type: ignore[misc]
    for name, listed in outcomes.items():
        for outcome in listed:
            if outcome.record is None:
                console.print(f"{name}: {outcome.item.name}: {outcome.error}", style="yellow", markup=False)
    return outcomes


def write(out: Path, document: Mapping[str, Any], page: str) -> tuple[Path, Path]:
    """Write the report; (HTML, JSON). Equal results give equal files."""
    html, machine = out / HTML, out / JSON
    html.write_text(page, encoding="utf-8")
    text = json.dumps(_finite(document), indent=1, ensure_ascii=False, default=str)
    machine.write_text(text + "\n", encoding="utf-8")
    return html, machine


def lean(outcomes: Sequence[Outcome]) -> dict[str, Record]:
    """The records by image, without pictures and features."""
    return {
        o.item.name: {key: value for key, value in o.record.items() if key not in _BULKY}
        for o in outcomes
        if o.record is not None
    }


def _finite(value: Any) -> Any:
    """JSON has no infinity (the PSNR of equal pictures): null instead."""
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
