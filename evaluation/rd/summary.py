"""From the images' records to curves, BD-rates, modes and ablations.

In: the outcomes of `evaluation.rd.image.look`. Out: one JSON object. Refuses nothing: what was not measured is absent.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evaluation import stats
from evaluation.metrics.measure import LOWER_IS_BETTER, better
from evaluation.rd.curves import Point, at, bd_rate, front
from evaluation.rd.image import MODES, SECTIONS
from evaluation.rd.points import ANCHORS, RATES_BPP
from evaluation.runs.schedule import Outcome
from evaluation.runs.store import Record
from proxy.encode.request import AUTO

CURVE_BPP = (0.02, *RATES_BPP[1:])  # where the curves are read off
COVERED = 0.9
WORST_SHARE = 0.05
PERFECT = {"vgg16": 1.0, "ms_ssim": 1.0, "lpips_alex": 0.0, "lpips_vgg": 0.0, "dists": 0.0}
BEST_CLASSICAL = "best classical"
MORE_METRICS = ("ocr", "face")  # of ablations


def summarise(outcomes: Sequence[Outcome], metrics: Sequence[str], engines: Sequence[str]) -> dict[str, Any]:
    """Everything about one set; `metrics` and `engines` are those that were measured."""
    records = [o.record for o in outcomes if o.record is not None and "left_out" not in o.record]
    with_points = [r for r in records if r.get("points")]
    families = (*engines, *ANCHORS)
    return {
        "images": len(records),
        "left_out": {o.item.name: o.record["left_out"] for o in outcomes if o.record and "left_out" in o.record},
        "broken": {o.item.name: o.error for o in outcomes if o.record is None},
        "curves": {metric: curves(with_points, metric, families) for metric in metrics},
        "bd_rates": bd_rates(with_points, metrics, engines),
        "modes": [_mode(records, mode, metrics) for mode in MODES],
        "auto": _auto(records, metrics),
        "worst": worst(outcomes, metrics),
        "sections": {mode: _sections(records, mode) for mode in MODES},
        "ablations": [row for base in ("paper", "ours") for row in _ablations(records, base, metrics)],
    }


def fronts(record: Record, metric: str) -> dict[str, list[Point]]:
    """Of one image: (bits per pixel, value) by family, and of the classical codecs together."""
    points: dict[str, list[Point]] = {}
    for row in record["points"]:
        if metric in row:
            rate = 8 * row["bytes"] / record["pixels"]
            for family in (row["family"], *([BEST_CLASSICAL] if row["family"] in ANCHORS else [])):
                points.setdefault(family, []).append((rate, row[metric]))
    return {family: front(metric, listed) for family, listed in points.items()}


def curves(records: Sequence[Record], metric: str, families: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """By family: at each rate the mean over the images on which all families shown there have a value.

    A family that reaches fewer than COVERED of the images at a rate (its files have a least size) is not shown there.
    """
    by_image = [fronts(r, metric) for r in records]
    found: dict[str, list[dict[str, Any]]] = {family: [] for family in families}
    for rate in CURVE_BPP:
        values = [{f: at(best.get(f, []), rate) for f in families} for best in by_image]
        shown = [f for f in families if sum(v[f] is not None for v in values) >= max(1, COVERED * len(values))]
        whole = [v for v in values if all(v[f] is not None for f in shown)]
        for family in shown:
            mean = stats.mean(float(v[family] or 0.0) for v in whole)
            if mean is not None:
                found[family].append({"bpp": rate, **asdict(mean)})
    return found


def bd_rates(records: Sequence[Record], metrics: Sequence[str], engines: Sequence[str]) -> list[dict[str, Any]]:
    """For every engine, anchor and metric: median BD-rate in percent over the images where the curves overlap."""
    found = []
    by_metric = {metric: [fronts(r, metric) for r in records] for metric in metrics}
    for engine in engines:
        for anchor in (*ANCHORS, BEST_CLASSICAL):
            row: dict[str, Any] = {"family": engine, "anchor": anchor}
            for metric, by_image in by_metric.items():
                rates = [bd_rate(metric, best.get(anchor, []), best.get(engine, [])) for best in by_image]
                median = stats.median(rate for rate in rates if rate is not None)
                row[metric] = None if median is None else asdict(median)
            found.append(row)
    return found


def _mode(records: Sequence[Record], mode: str, metrics: Sequence[str]) -> dict[str, Any]:
    rows = [(r["original_bytes"], r["modes"][mode]) for r in records]
    made = [(original, row) for original, row in rows if "bytes" in row]
    reasons: dict[str, int] = {}
    for _, row in rows:
        if "bytes" not in row:
            reason = row["reason"].partition(":")[0]
            reasons[reason] = reasons.get(reason, 0) + 1
    delivered = sum(row.get("bytes", original) for original, row in rows)
    total = sum(original for original, _ in rows)
    return {
        "mode": mode,
        "made": len(made),
        "declined": reasons,
        "median_bytes": statistics.median(row["bytes"] for _, row in made) if made else None,
        "saved": _dict(stats.median(1 - row["bytes"] / original for original, row in made)),
        "delivered_bytes": delivered,
        "saved_total": 1 - delivered / total if total else None,
        "metrics": {m: _dict(stats.mean(row[m] for _, row in made if m in row)) for m in metrics},
        "worst": {
            m: stats.worst_mean((row[m] for _, row in made if m in row), WORST_SHARE, m in LOWER_IS_BETTER)
            for m in metrics
        },
        "encode_cpu_ms": _dict(stats.median(row["encode_cpu_ms"] for _, row in rows)),
        "draw_ms": _dict(stats.median(row["draw_ms"] for _, row in made if "draw_ms" in row)),
    }


def _auto(records: Sequence[Record], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """`auto` as delivered (the original where it declines) against each fixed mode on the same images."""
    found = []
    for mode in MODES[1:]:
        rows = [
            (r["original_bytes"], r["modes"][AUTO], r["modes"][mode]) for r in records if "bytes" in r["modes"][mode]
        ]
        row: dict[str, Any] = {"mode": mode, "images": len(rows)}
        row["auto_bytes"] = sum(auto.get("bytes", original) for original, auto, _ in rows)
        row["mode_bytes"] = sum(fixed["bytes"] for _, _, fixed in rows)
        row["auto_smaller"] = _share(rows, lambda original, auto, fixed: auto.get("bytes", original) < fixed["bytes"])
        for metric in [m for m in metrics if m in PERFECT]:
            pairs = [(_delivered(auto, metric), fixed[metric]) for _, auto, fixed in rows if metric in fixed]
            row[metric] = {
                "auto": _dict(stats.mean(a for a, _ in pairs)),
                "mode": _dict(stats.mean(b for _, b in pairs)),
                "auto_no_worse": sum(not better(metric, b, a) for a, b in pairs) / len(pairs) if pairs else None,
            }
        found.append(row)
    return found


def _delivered(row: Mapping[str, Any], metric: str) -> float:
    return float(row.get(metric, PERFECT[metric]))  # where auto declines, the original is what is shown


def worst(outcomes: Sequence[Outcome], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """The worst 5 % of what `auto` makes, at least one image, by VGG16 similarity or else the first metric."""
    metric = "vgg16" if "vgg16" in metrics else metrics[0]
    made = [
        (o, o.record["modes"][AUTO]) for o in outcomes if o.record and metric in o.record.get("modes", {}).get(AUTO, {})
    ]
    ordered = sorted(made, key=lambda pair: (-1 if metric in LOWER_IS_BETTER else 1) * pair[1][metric])
    count = -(-len(ordered) // round(1 / WORST_SHARE)) if ordered else 0
    return [
        {"image": o.item.name, "metric": metric, "value": row[metric], "bytes": row["bytes"], "kind": row["kind"]}
        for o, row in ordered[:count]
    ]


def _sections(records: Sequence[Record], mode: str) -> dict[str, float]:
    """Mean bytes of each section over the images that have a bundle in this mode."""
    made = [r["modes"][mode]["sections"] for r in records if "sections" in r["modes"][mode]]
    names = sorted({name for sections in made for name in sections})
    return {name: statistics.mean(sections.get(name, 0) for sections in made) for name in names}


def _ablations(records: Sequence[Record], base: str, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """What a bundle loses without a section: differences to the whole bundle, over the images that have the section."""
    found = []
    for section in SECTIONS:
        pairs = [
            (r["ablations"][base]["whole"], r["ablations"][base]["without"][section])
            for r in records
            if section in r["ablations"].get(base, {}).get("without", {})
        ]
        if not pairs:
            continue
        row: dict[str, Any] = {"base": base, "section": section, "images": len(pairs)}
        row["bytes"] = _dict(stats.mean(without["bytes"] - whole["bytes"] for whole, without in pairs))
        for metric in (*metrics, *MORE_METRICS):
            both = [(w[metric], o[metric]) for w, o in pairs if metric in w and metric in o]
            if both:
                row[metric] = {
                    "whole": _dict(stats.mean(w for w, _ in both)),
                    "change": _dict(stats.mean(o - w for w, o in both)),
                }
        found.append(row)
    return found


def _share(rows: Sequence[Any], holds: Callable[..., bool]) -> float | None:
    return sum(holds(*row) for row in rows) / len(rows) if rows else None


def _dict(found: stats.Estimate | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)
