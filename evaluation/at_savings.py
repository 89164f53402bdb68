"""`python -m evaluation.at_savings`: the VGG16 similarity of bundles that save a given share of the original files.

In: a folder of images as published, the share of their bytes to save, metric weights. Out: a line an image and a JSON
file: the similarity of the best bundle within the budget (the scale is chosen by the preview's similarity, among ÷2 to
÷8), drawn by the sketch engine; the median, the quartiles, and how many reach 0.85. An image whose budget holds no
bundle counts as 0. Refuses: folders without images, and to run without the metric weights.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evaluation import ours
from evaluation.bench_codec import CLASSICAL, Plan, images, load, sketch_engine
from evaluation.metrics.measure import Measure, weights_folder
from proxy.bundle.preview import render

SCALES = (2, 3, 4, 6, 8)
DRAWN = 2  # of the bundles whose previews look best
GOAL = 0.85


@dataclass(frozen=True, slots=True)
class Found:
    """The best bundle of one image; `similarity` is 0 where none fits."""

    image: str
    file_bytes: int
    bundle_bytes: int
    setting: str
    similarity: float


def best_within(path: Path, saved: float, max_side_px: int, measure: Measure, draw: ours.Draw) -> Found:
    """The best of the bundles of at most (1 − saved) of the file's bytes."""
    rgb = load(path, max_side_px)
    measure.against(rgb)
    file_bytes = path.stat().st_size
    made = list(ours.bundles_within(rgb, int((1 - saved) * file_bytes), SCALES))
    made.sort(key=lambda m: -measure(render(m[1]), ["vgg16"])["vgg16"])
    best = Found(path.name, file_bytes, 0, "none fits", 0.0)
    for setting, bundle, size_bytes in made[:DRAWN]:
        similarity = measure(draw([bundle])[0], ["vgg16"])["vgg16"]
        if similarity > best.similarity:
            best = Found(path.name, file_bytes, size_bytes, setting, round(similarity, 4))
    return best


def summary(found: Sequence[Found]) -> dict[str, float]:
    """Median, quartiles, and the share that reaches the goal. Raises ValueError for fewer than 2."""
    if len(found) < 2:
        raise ValueError("a summary needs at least 2 images")
    values = [f.similarity for f in found]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {
        "images": len(values),
        "median": middle,
        "lower_quartile": low,
        "upper_quartile": high,
        "share_at_goal": sum(v >= GOAL for v in values) / len(values),
        "saved": 1 - sum(f.bundle_bytes or f.file_bytes for f in found) / sum(f.file_bytes for f in found),
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.at_savings", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of images as published")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--weights", type=Path, help="folder of metric weights (else SKETCHWIRE_METRIC_WEIGHTS)")
    parser.add_argument("--sketch", type=Path, help="folder of the engine's weights (else the packaged ones)")
    parser.add_argument("--saved", type=float, default=0.97, help="share of each file's bytes to save")
    parser.add_argument("--max-side", type=int, default=1600, help="larger images are scaled down to this, in px")
    parser.add_argument("--limit", type=int, default=0, help="images of each folder, evenly spread; 0: all")
    a = parser.parse_args()
    if weights_folder(a.weights) is None:
        parser.error("the metric weights are needed")
    plan = Plan(tuple(a.data), a.out.parent, a.weights, a.sketch, (CLASSICAL,), limit=a.limit)
    draw, label = sketch_engine(plan)
    measure, found = Measure(a.weights), []
    try:
        for path in images(plan):
            found.append(best_within(path, a.saved, a.max_side, measure, draw))
            print(f"{found[-1].similarity:.3f} {found[-1].bundle_bytes:6} B {found[-1].setting:10} {path.name}")
        totals = summary(found)
    except ValueError as error:
        parser.error(str(error))
    a.out.parent.mkdir(parents=True, exist_ok=True)
    result = {"engine": label, "saved_at_least": a.saved, **totals, "rows": [asdict(f) for f in found]}
    a.out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(f"{label}: " + ", ".join(f"{name} {value:.3f}" for name, value in totals.items()))


if __name__ == "__main__":
    main()
