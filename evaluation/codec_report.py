"""From the rows of bench_codec to a table and curves.

In: rows as bench_codec writes them. Out: `table.md`, `summary.json`, `curves.png` in a folder. Refuses nothing: sets,
rates and metrics without rows are left out.

Per image, rate and metric each family shows its best candidate within the budget. A family wins where its value is
better than the classical codecs' best; it "halves" the bytes where its value is no worse than theirs at twice the
budget.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from evaluation.metrics.measure import METRICS, better
from evaluation.metrics.spectrum import CONTROLS_PX

CLASSICAL = "classical"
Values = dict[tuple[str, float, str], dict[str, float]]  # (image, bpp, family) → metric → best value


def best_values(rows: list[dict[str, Any]], engine: str) -> Values:
    """The best of each family per image, rate and metric; rows of other engines are ignored."""
    found: Values = {}
    for row in rows:
        if row["engine"] not in ("", engine):
            continue
        best: dict[str, float] = {}
        for candidate in row["candidates"]:
            for metric in METRICS:
                if metric in candidate and (metric not in best or better(metric, candidate[metric], best[metric])):
                    best[metric] = candidate[metric]
        found[row["image"], row["bpp"], row["family"]] = best
    return found


def summary(values: Values) -> list[dict[str, Any]]:
    """One record per set, rate, family: means, and against the classical codecs the shares won and halved."""
    groups: dict[tuple[str, float, str], list[str]] = defaultdict(list)
    for image, bpp, family in values:
        groups[image.split("/")[0], bpp, family].append(image)
    records = []
    for (name, bpp, family), members in sorted(groups.items()):
        record: dict[str, Any] = {"set": name, "bpp": bpp, "family": family, "images": len(members)}
        for metric in METRICS:
            mine = {i: values[i, bpp, family][metric] for i in members if metric in values[i, bpp, family]}
            if not mine:
                continue
            record[metric] = mean(mine.values())
            if family != CLASSICAL:
                record |= _against(values, mine, bpp, metric)
        if family != CLASSICAL:
            record["wins_all_three"] = _share(
                all(metric_won(values, i, bpp, family, m) for m in ("lpips_alex", "lpips_vgg", "dists"))
                for i in members
            )
        records.append(record)
    return records


def metric_won(values: Values, image: str, bpp: float, family: str, metric: str) -> bool:
    """Whether the family is better than the classical codecs (or they have nothing within the budget)."""
    mine, theirs = values.get((image, bpp, family), {}), values.get((image, bpp, CLASSICAL), {})
    return metric in mine and (metric not in theirs or better(metric, mine[metric], theirs[metric]))


def _against(values: Values, mine: dict[str, float], bpp: float, metric: str) -> dict[str, Any]:
    wins, halves = [], []
    for image, value in mine.items():
        theirs = values.get((image, bpp, CLASSICAL), {})
        wins.append(metric not in theirs or better(metric, value, theirs[metric]))
        double = values.get((image, 2 * bpp, CLASSICAL), {})
        if metric in double:
            halves.append(not better(metric, double[metric], value))
    return {f"{metric}_wins": _share(wins), f"{metric}_halves": _share(halves)}


def _share(outcomes: Any) -> float | None:
    listed = [bool(outcome) for outcome in outcomes]
    return sum(listed) / len(listed) if listed else None


def write(out: Path, rows: list[dict[str, Any]], engine: str) -> None:
    """Write table.md, summary.json and curves.png."""
    records = summary(best_values(rows, engine))
    (out / "summary.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    (out / "table.md").write_text(_table(records) + "\n" + _grid_table(rows, engine), encoding="utf-8")
    _curves(out / "curves.png", records)


def _table(records: list[dict[str, Any]]) -> str:
    metrics = [m for m in METRICS if any(m in r for r in records)]
    lines = [
        "Means; in brackets the share of images on which the family beats the best classical encoding at equal bytes,",
        "and after the slash the share on which it is no worse than theirs with half the bytes.",
        "",
        "| set | bpp | family | images | " + " | ".join(metrics) + " | all three |",
        "|" + "---|" * (len(metrics) + 5),
    ]
    for r in records:
        cells = [_cell(r, m) for m in metrics]
        three = _percent(r.get("wins_all_three"))
        lines.append(f"| {r['set']} | {r['bpp']:g} | {r['family']} | {r['images']} | {' | '.join(cells)} | {three} |")
    return "\n".join(lines) + "\n"


def _cell(record: dict[str, Any], metric: str) -> str:
    if metric not in record:
        return "–"
    text = f"{record[metric]:.2f}" if metric == "psnr" else f"{record[metric]:.3f}"
    if f"{metric}_wins" in record:
        text += f" ({_percent(record[f'{metric}_wins'])} / {_percent(record[f'{metric}_halves'])})"
    return text


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _grid_table(rows: list[dict[str, Any]], engine: str) -> str:
    """The spectral test: prominence of the periods of a grid over the original's, by family, and of other periods."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row["engine"] in ("", engine):
            for candidate in row["candidates"]:
                for period, ratio in candidate.get("grid", {}).items():
                    found[row["family"], period].append(ratio)
    lines = [
        "Grid: energy at the period over its neighbours, relative to the original (at most 1.1 is wanted).",
        f"Periods of {', '.join(map(str, CONTROLS_PX))} px can have no grid: they show what is chance.",
        "",
    ]
    lines += ["| family | period px | mean | share over 1.1 |", "|---|---|---|---|"]
    for (family, period), ratios in sorted(found.items()):
        lines.append(f"| {family} | {period} | {mean(ratios):.3f} | {_percent(_share(r > 1.1 for r in ratios))} |")
    return "\n".join(lines) + "\n"


def _curves(path: Path, records: list[dict[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sets = sorted({r["set"] for r in records})
    metrics = [m for m in METRICS if any(m in r for r in records)]
    if not sets or not metrics:
        return
    figure, axes = pyplot.subplots(
        len(sets), len(metrics), squeeze=False, figsize=(3.4 * len(metrics), 2.8 * len(sets))
    )
    for row, name in enumerate(sets):
        for column, metric in enumerate(metrics):
            axis = axes[row][column]
            for family in sorted({r["family"] for r in records}):
                points = [
                    (r["bpp"], r[metric]) for r in records if (r["set"], r["family"]) == (name, family) and metric in r
                ]
                if points:
                    axis.plot(*zip(*sorted(points), strict=True), marker="o", label=family)
            axis.set_xscale("log")
            axis.set_title(f"{name}: {metric}", fontsize=9)
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
