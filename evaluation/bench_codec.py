"""`python -m evaluation.bench_codec`: bytes against distance, our bundles and the classical codecs, at equal bytes.

In: folders of images, weights of metrics and of the engine. Out: a folder with `results.jsonl` (resumable: what is
there is not measured again), `table.md`, `curves.png`, contact sheets, the grid test. Refuses: folders without images.

Every family may choose its scale and, per metric, its best encoding within each budget. All candidates are measured
with the cheap metrics (LPIPS-Alex, PSNR); the others only for the few that lead in those, unless `--exhaustive`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation import codec_report, ours
from evaluation.codecs import Coded, within
from evaluation.metrics.measure import Measure
from evaluation.metrics.spectrum import CONTROLS_PX, MIN_SIDE_PX, PERIODS_PX, grid_ratio
from proxy.bundle.preview import render

RGB = npt.NDArray[np.uint8]
RATES_BPP = (0.01, 0.02, 0.04, 0.08, 0.16)
CLASSICAL, SKETCH, SKETCH_EDGES, PREVIEW = "classical", "sketch", "sketch+edges", "preview"
FAMILIES = (CLASSICAL, PREVIEW, SKETCH, SKETCH_EDGES)
_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".avif"))
_LEADERS = 3  # of the cheap metric, that are measured fully
_log = logging.getLogger("sketchwire.evaluation")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `sketch` is the folder of the engine's weights, None for the packaged ones."""

    data: tuple[Path, ...]
    out: Path
    weights: Path | None = None
    sketch: Path | None = None
    families: tuple[str, ...] = FAMILIES
    rates_bpp: tuple[float, ...] = RATES_BPP
    max_side_px: int = 640
    limit: int = 0
    exhaustive: bool = False
    sheets: int = 12


def run(plan: Plan) -> None:
    """Measure what is missing, then write the report."""
    plan.out.mkdir(parents=True, exist_ok=True)
    measure = Measure(plan.weights)
    draw, engine = sketch_engine(plan) if {SKETCH, SKETCH_EDGES} & set(plan.families) else (None, "")
    done = {(r["image"], r["bpp"], r["family"], r["engine"]) for r in results(plan.out)}
    with (plan.out / "results.jsonl").open("a", encoding="utf-8") as file:
        for path in images(plan):
            rgb = load(path, plan.max_side_px)
            measure.against(rgb)
            for bpp in plan.rates_bpp:
                for family in plan.families:
                    drawn_by = engine if family.startswith(SKETCH) else ""
                    if (_name(path), bpp, family, drawn_by) in done:
                        continue
                    started = time.perf_counter()
                    candidates = list(_candidates(family, rgb, int(bpp * rgb.shape[0] * rgb.shape[1] / 8), draw))
                    row = {"image": _name(path), "bpp": bpp, "family": family, "engine": drawn_by}
                    row["pixels"] = rgb.shape[0] * rgb.shape[1]
                    row["candidates"] = _measured(rgb, candidates, measure, plan.exhaustive)
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    _log.info("%s %g %s %.1f s", _name(path), bpp, family, time.perf_counter() - started)
    codec_report.write(plan.out, list(results(plan.out)), engine)
    if draw is not None and plan.sheets:
        _sheets(plan, draw)


def results(out: Path) -> Iterator[dict[str, Any]]:
    """The rows measured so far."""
    path = out / "results.jsonl"
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def images(plan: Plan) -> list[Path]:
    """The images of the plan, at most `limit` of each folder, evenly spread. Raises ValueError when there are none."""
    found: list[Path] = []
    for folder in plan.data:
        here = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
        step = max(1.0, len(here) / plan.limit) if plan.limit else 1.0
        found += [here[int(i * step)] for i in range(min(len(here), plan.limit or len(here)))]
    if not found:
        raise ValueError(f"no images in {', '.join(map(str, plan.data))}")
    return found


def load(path: Path, max_side_px: int) -> RGB:
    """The image as RGB, its longer side at most `max_side_px` (Lanczos); transparency on white."""
    with Image.open(path) as image:
        if "A" in image.getbands() or "transparency" in image.info:
            rgba = image.convert("RGBA")
            flat = Image.new("RGBA", rgba.size, "white")
            flat.alpha_composite(rgba)
            plain = flat.convert("RGB")
        else:
            plain = image.convert("RGB")
    scale = max_side_px / max(plain.size)
    if scale < 1:
        size = (max(1, round(plain.width * scale)), max(1, round(plain.height * scale)))
        plain = plain.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(plain)


def _candidates(family: str, rgb: RGB, budget_bytes: int, draw: ours.Draw | None) -> Iterable[Coded]:
    if family == CLASSICAL:
        return within(rgb, budget_bytes)
    made = list(ours.bundles_within(rgb, budget_bytes, edges=family == SKETCH_EDGES))
    return ours.coded(
        family, (lambda bundles: [render(b) for b in bundles]) if draw is None or family == PREVIEW else draw, made
    )


def _measured(rgb: RGB, candidates: list[Coded], measure: Measure, exhaustive: bool) -> list[dict[str, Any]]:
    cheap = [measure(c.picture, ("lpips_alex", "psnr")) for c in candidates]
    leaders = set(range(len(candidates)))
    if not exhaustive and "lpips_alex" in measure.names:
        by_distance = sorted(leaders, key=lambda i: cheap[i]["lpips_alex"])
        leaders = {*by_distance[:_LEADERS], max(leaders, key=lambda i: cheap[i]["psnr"])} if leaders else set()
    rows = []
    for number, candidate in enumerate(candidates):
        row: dict[str, Any] = {"codec": candidate.family, "setting": candidate.setting, "bytes": candidate.size_bytes}
        row |= cheap[number]
        if number in leaders:
            row |= measure(candidate.picture, [n for n in measure.names if n not in cheap[number]])
            if min(rgb.shape[:2]) >= MIN_SIDE_PX:
                ratios = grid_ratio(rgb, candidate.picture, PERIODS_PX + CONTROLS_PX)
                row["grid"] = {str(period): ratio for period, ratio in ratios.items()}
        rows.append(row)
    return rows


def sketch_engine(plan: Plan) -> tuple[ours.Draw, str]:
    """(a way to draw bundles, the engine's label), with the weights of the plan."""
    from client_runtime.engines import sketch
    from client_runtime.engines.base import Task
    from client_runtime.engines.sketch.engine import SketchEngine

    engine = SketchEngine.load(plan.sketch or sketch.WEIGHTS, int(os.environ.get("OMP_NUM_THREADS", "0")))
    return lambda bundles: engine.reconstruct([Task(b) for b in bundles]), engine.capabilities().label


def _sheets(plan: Plan, draw: ours.Draw) -> None:
    """Original | ours | best classical, each at the bytes of the middle rate, best by LPIPS-Alex."""
    from evaluation import contact

    rows = list(results(plan.out))
    bpp = plan.rates_bpp[len(plan.rates_bpp) // 2]
    for path in images(plan)[: plan.sheets]:
        target = plan.out / f"sheet-{path.stem}-{bpp:g}.png"
        rgb = load(path, plan.max_side_px)
        budget = int(bpp * rgb.shape[0] * rgb.shape[1] / 8)
        contact.write(target, rgb, _pick(rows, path, bpp, budget, rgb, draw), budget)


def _pick(rows: list[dict[str, Any]], path: Path, bpp: float, budget: int, rgb: RGB, draw: ours.Draw) -> list[Coded]:
    picked = []
    for family in (SKETCH, CLASSICAL):
        best = [r for r in rows if (r["image"], r["bpp"], r["family"]) == (_name(path), bpp, family)]
        found = list(_candidates(family, rgb, budget, draw))
        if best and best[-1]["candidates"]:
            leader = min(best[-1]["candidates"], key=lambda c: c.get("lpips_alex", -c["psnr"]))
            found = [c for c in found if (c.family, c.setting) == (leader["codec"], leader["setting"])] or found
        picked += found[:1]
    return picked


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.bench_codec", description=__doc__)
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="folders of images; each is a set of its own"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for results; what is there is kept")
    parser.add_argument("--weights", type=Path, help="folder of metric weights (else SKETCHWIRE_METRIC_WEIGHTS)")
    parser.add_argument("--sketch", type=Path, help="folder of the engine's weights (else the packaged ones)")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES_BPP), help="budgets in bits per pixel")
    parser.add_argument("--max-side", type=int, default=640, help="larger images are scaled down to this, in px")
    parser.add_argument("--limit", type=int, default=0, help="images of each folder, evenly spread; 0: all")
    parser.add_argument("--exhaustive", action="store_true", help="all metrics for every candidate")
    parser.add_argument("--sheets", type=int, default=12, help="contact sheets to write")
    a = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        run(
            Plan(
                tuple(a.data), a.out, a.weights, a.sketch, tuple(a.families), tuple(a.rates), a.max_side, a.limit,
                a.exhaustive, a.sheets,
            )
        )  # fmt: skip
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
