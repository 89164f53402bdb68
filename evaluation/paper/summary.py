"""From the images' records to the paper's tables and figures.

In: the outcomes of `evaluation.paper.image.look`. Out: one JSON object per set. Refuses nothing: what was not measured
has a reason instead of figures.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from evaluation import stats
from evaluation.metrics import distribution
from evaluation.metrics.measure import better
from evaluation.paper import known, outlines
from evaluation.paper.image import MODES, PAPER_SALIENT, WEBP_RIVALS, vector_of
from evaluation.runs.schedule import Outcome
from evaluation.runs.store import Record
from proxy.encode.analyse import GENERATED
from proxy.encode.request import PROMPT, SALIENT

_SEED = 50
NO_WORDS = "does not draw from words alone"


def summarise(outcomes: Sequence[Outcome], engines: dict[str, str], missing: dict[str, str]) -> dict[str, Any]:
    """Everything about one set. `engines` are labels by name, `missing` the reasons of those that do not work here."""
    records = [o.record for o in outcomes if o.record is not None and "left_out" not in o.record]
    drawable = [r for r in records if r["modes"][SALIENT]["kind"] in GENERATED]
    return {
        "images": len(records),
        "captions": sum(r["caption"] for r in records),
        "left_out": {o.item.name: o.record["left_out"] for o in outcomes if o.record and "left_out" in o.record},
        "broken": {o.item.name: o.error for o in outcomes if o.record is None},
        "table1": [_mode(records, mode, engines, missing) for mode in MODES],
        "drawable": len(drawable),
        "table1_drawable": [_mode(drawable, mode, engines, missing) for mode in MODES],
        "figure3": _outlines(records),
        "figure4": _scatter(records, next(iter(engines), "")),
        "webp": [_webp(records, mode, next(iter(engines), "")) for mode in WEBP_RIVALS],
        "tenth": {name: _tenth(records, name) for name in ("jpeg", "webp")},
        "random_pairs": random_pairs(records),
        "patches": {name: _patches(records, name) for name in (PAPER_SALIENT, SALIENT, "webp")},
    }


def random_pairs(records: Sequence[Record]) -> dict[str, Any] | None:
    """VGG16 similarity of pairs of different images, drawn with a fixed seed; None without features."""
    vectors = [vector_of(r["vector"]) for r in records if r["vector"]]
    if len(vectors) < 3:
        return None
    unit = np.stack([v / np.linalg.norm(v) for v in vectors])
    cosines = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    count = min(known.RANDOM_PAIR_COUNT, len(cosines))
    chosen = np.random.default_rng(_SEED).choice(len(cosines), count, replace=False)
    found = stats.mean(cosines[chosen])
    assert found is not None
    return {
        "pairs": count,
        "mean": asdict(found),
        "within": abs(found.value - known.RANDOM_PAIRS) <= known.RANDOM_PAIR_TOLERANCE,
        "all_pairs_mean": float(cosines.mean()),
    }


def spread(values: Iterable[float]) -> dict[str, Any] | None:
    """Median with interval, mean with interval, least and greatest; None without values."""
    listed = [float(v) for v in values]
    middle, average = stats.median(listed), stats.mean(listed)
    if middle is None or average is None:
        return None
    return {"median": asdict(middle), "mean": asdict(average), "min": min(listed), "max": max(listed)}


def _mode(records: Sequence[Record], mode: str, engines: dict[str, str], missing: dict[str, str]) -> dict[str, Any]:
    rows = [(r["original_bytes"], r["modes"][mode]) for r in records]
    made = [(original, row) for original, row in rows if "bytes" in row]
    similarity: dict[str, Any] = {}
    for engine in engines:
        values = [row["engines"][engine]["vgg16"] for _, row in made if "vgg16" in row["engines"].get(engine, {})]
        similarity[engine] = spread(values) or {"not_measured": _why(mode, engine, made)}
    similarity |= {engine: {"not_measured": reason} for engine, reason in missing.items()}
    originals = sum(original for original, _ in made)
    return {
        "mode": mode,
        "encoded": len(made),
        "with_crops": sum(row["crops"] > 0 for _, row in made),
        "median_bytes": statistics.median(row["bytes"] for _, row in made) if made else None,
        "saved": spread(1 - row["bytes"] / original for original, row in made),
        "saved_total": 1 - sum(row["bytes"] for _, row in made) / originals if made else None,
        "share_that_grew": sum(row["bytes"] >= original for original, row in made) / len(made) if made else None,
        "similarity": similarity,
    }


def _why(mode: str, engine: str, made: Sequence[Any]) -> str:
    if not made:
        return "no image was encoded"
    if any(row["engines"].get(engine) for _, row in made):
        return "no weights of VGG16"
    return f"{engine} {NO_WORDS}" if mode == PROMPT else f"{engine} draws no bundles of this mode"


def _outlines(records: Sequence[Record]) -> list[dict[str, Any]]:
    found = []
    for coding in outlines.CODINGS:
        points = [(r["original_bytes"], 1 - r["outlines"][coding] / r["original_bytes"])
                  for r in records if r["outlines"][coding] is not None]  # fmt: skip
        found.append({"coding": coding, "saved": spread(s for _, s in points), "points": points})
    return found


def _scatter(records: Sequence[Record], engine: str) -> dict[str, list[tuple[float, float]]]:
    """(share saved, VGG16 similarity) by mode; WebP at the bytes of `salient` beside them."""
    found: dict[str, list[tuple[float, float]]] = {}
    for r in records:
        for mode, row in r["modes"].items():
            value = row["engines"].get(engine, {}).get("vgg16")
            if value is not None:
                found.setdefault(mode, []).append((1 - row["bytes"] / r["original_bytes"], value))
        rival = (r["webp"].get(SALIENT) or {}).get("scaled")
        if rival and "vgg16" in rival:
            saved = 1 - r["modes"][SALIENT]["bytes"] / r["original_bytes"]
            found.setdefault("WebP at equal bytes", []).append((saved, rival["vgg16"]))
    return found


def _webp(records: Sequence[Record], mode: str, engine: str) -> dict[str, Any]:
    """A mode against WebP in as many bytes, on the images where both are there."""
    rows = [(r["modes"][mode]["engines"].get(engine), r["webp"].get(mode)) for r in records]
    pairs = [(ours, webp) for ours, webp in rows if ours and webp]
    found: dict[str, Any] = {"mode": mode, "images": len(pairs), "full_size_fits": 0, "metrics": {}}
    found["full_size_fits"] = sum(webp["full"] is not None for _, webp in pairs)
    for metric in sorted({name for ours, _ in pairs for name in ours} - {"draw_ms"}):
        row: dict[str, Any] = {}
        for size in ("full", "scaled"):
            both = [(ours[metric], webp[size][metric]) for ours, webp in pairs if webp[size]]
            row[size] = {
                "images": len(both),
                "ours": _optional(stats.mean(o for o, _ in both)),
                "webp": _optional(stats.mean(w for _, w in both)),
                "ours_better": sum(better(metric, o, w) for o, w in both) / len(both) if both else None,
            }
        found["metrics"][metric] = row
    return found


def _tenth(records: Sequence[Record], codec: str) -> dict[str, Any]:
    values = [r["lossy"][codec] for r in records]
    there = [v for v in values if v is not None]
    return {"ssim": spread(there), "images": len(there), "impossible": len(values) - len(there)}


def _patches(records: Sequence[Record], name: str) -> dict[str, Any]:
    both = [r["patches"] for r in records if "original" in r["patches"] and name in r["patches"]]
    if not both:
        return {"patches": 0, "skipped": "no features of VGG16"}
    true, drawn = (np.concatenate([vector_of(p[key]).reshape(-1, 512) for p in both]) for key in ("original", name))
    found: dict[str, Any] = {"patches": len(true)}
    for metric, distance in (("vgg16_patch_fid", distribution.frechet), ("vgg16_patch_kid", distribution.kernel)):
        try:
            found[metric] = distance(true, drawn)
        except ValueError as error:
            found[f"{metric}_skipped"] = str(error)
    return found


def _optional(found: stats.Estimate | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)
