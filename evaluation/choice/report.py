"""What `auto` does with images it was not calibrated on, beside what else could have been sent at the same floor.

In: the held-out half, the metrics' weights, an engine. Out: a `Result` per image, kept in a file so that a run can be
resumed, and a `Summary` of them. Refuses: runs without the metrics' weights (`ValueError`).

LPIPS-VGG is taken in the middle of the picture, as in calibration; VGG16 similarity, at 224×224, of the whole of it.
Bytes are bodies, without heads. "At the same floor" means by the same calibrated estimate and margins.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from evaluation import contact
from evaluation.choice.candidates import REFERENCE, Draw, cropped, thumbnail_bundle
from evaluation.choice.dataset import Example, pixels
from evaluation.codecs import Coded
from evaluation.metrics.measure import Measure
from proxy.bare import crossing
from proxy.bundle import MEDIA_TYPE, unpack
from proxy.bundle.preview import render
from proxy.encode import Declined, Encoded, EncodeRequest, encode
from proxy.encode.analyse import GENERATED
from proxy.encode.choose import MAX_SHARE
from proxy.encode.classical import AVIF, WEBP, File, finished, on_white, pixels_of, smallest
from proxy.encode.floor import DRAWN, FLOORS, SKETCH, Judge, calibration
from proxy.encode.request import SALIENT

RGB = npt.NDArray[np.uint8]
FORMATS = (AVIF, WEBP)
MIN_LPIPS_PX = 32


@dataclass(frozen=True, slots=True)
class Result:
    """One image. Bytes of what auto sent (the origin's where it declined), of the smallest AVIF or WebP, and of the
    best bundle, each at the floor; the origin's where there is none. `similar` is VGG16's, `distance` and `reference`
    are LPIPS.
    """

    name: str
    kind: str
    sent: str
    origin_bytes: int
    auto_bytes: int
    classical_bytes: int
    bundle_bytes: int
    similar: float
    distance: float | None
    reference: float | None
    cpu_ms: float

    @property
    def good(self) -> bool:
        """Whether it is truly above balanced's floor."""
        near = self.distance is None or self.reference is None or self.distance <= self.reference
        return self.similar >= FLOORS["balanced"].vgg16 and near


@dataclass(frozen=True, slots=True)
class Summary:
    """Over all images: totals in bytes, shares 0…1, CPU milliseconds."""

    images: int
    sent: dict[str, int]
    good: float
    similar_good: float
    near_good: float
    origin_bytes: int
    auto_bytes: int
    classical_bytes: int
    bundle_bytes: int
    smaller_than_classical: float
    smaller_or_equal: float
    largest_share: float
    median_cpu_ms: float
    p95_cpu_ms: float


def run(
    found: Iterable[Example], kept: Path, draw: Draw, tier: str, tick: Callable[[], None], sheets: bool = True
) -> list[Result]:
    """The results for `found`; those in the folder `kept` are not made again. Raises ValueError."""
    kept.mkdir(parents=True, exist_ok=True)
    measures = Measure(), Measure()
    if "vgg16" not in measures[0].names:
        raise ValueError("the report needs the metrics' weights; set SKETCHWIRE_METRIC_WEIGHTS to their folder")
    file = kept / f"results-{tier}.jsonl"
    done = {r.name: r for r in _read(file)}
    results = []
    with file.open("a", encoding="utf-8") as out:
        for example in found:
            if example.name not in done:
                result, shown = one(example, draw, tier, measures)
                done[example.name] = result
                out.write(json.dumps(asdict(result)) + "\n")
                out.flush()
                if sheets:
                    _sheet(kept, example, result, shown)
            results.append(done[example.name])
            tick()
    return results


def one(example: Example, draw: Draw, tier: str, measures: tuple[Measure, Measure]) -> tuple[Result, RGB]:
    """(the result for one image, the picture that the browser shows)."""
    true, origin_bytes = pixels(example.served), len(example.served)
    request = EncodeRequest(example.served, tier=tier, engine=SKETCH, formats=FORMATS)
    began = time.process_time()
    answer = encode(request)
    cpu_ms = (time.process_time() - began) * 1000
    shown, sent, auto_bytes = true, "original", origin_bytes
    if isinstance(answer, Encoded):
        sent, auto_bytes = answer.mode, len(crossing(answer.body, answer.media_type)[0])
        shown = _shown(answer, draw)
    whole, middle = measures
    whole.against(true)
    similar = whole(shown, ("vgg16",))["vgg16"] if sent != "original" else 1.0
    distance = reference = None
    if min(true.shape[:2]) >= MIN_LPIPS_PX and sent != "original":
        middle.against(cropped(true))
        distance = middle(cropped(shown), ("lpips_vgg",))["lpips_vgg"]
        if min(true.shape[:2]) >= 2 * MIN_LPIPS_PX:
            at_half = render(thumbnail_bundle(true, *REFERENCE))
            reference = middle(cropped(at_half), ("lpips_vgg",))["lpips_vgg"]
    limit = int(MAX_SHARE * origin_bytes)
    classical = _classical_bytes(true, answer, tier, limit)
    bundle = _bundle_bytes(request, answer)
    others = classical or origin_bytes, bundle if bundle and bundle <= limit else origin_bytes
    named = example.name, answer.kind or "alpha", sent
    return Result(*named, origin_bytes, auto_bytes, *others, similar, distance, reference, cpu_ms), shown


def summarise(results: Sequence[Result]) -> Summary:
    """All of `results` in figures."""
    changed = [r for r in results if r.sent != "original"]
    return Summary(
        len(results),
        {sent: sum(r.sent == sent for r in results) for sent in sorted({r.sent for r in results})},
        float(np.mean([r.good for r in results])),
        float(np.mean([r.similar >= FLOORS["balanced"].vgg16 for r in results])),
        float(np.mean([r.distance is None or r.reference is None or r.distance <= r.reference for r in results])),
        sum(r.origin_bytes for r in results),
        sum(r.auto_bytes for r in results),
        sum(r.classical_bytes for r in results),
        sum(r.bundle_bytes for r in results),
        float(np.mean([r.auto_bytes < r.classical_bytes for r in results])),
        float(np.mean([r.auto_bytes <= r.classical_bytes for r in results])),
        max((r.auto_bytes / r.origin_bytes for r in changed), default=0.0),
        median(r.cpu_ms for r in results),
        float(np.percentile([r.cpu_ms for r in results], 95)),
    )


def worst(results: Sequence[Result], share: float = 0.05) -> list[Result]:
    """The share of images that VGG16 finds least similar, at least one."""
    return sorted(results, key=lambda r: r.similar)[: max(1, round(share * len(results)))]


def _shown(answer: Encoded, draw: Draw) -> RGB:
    if answer.media_type == MEDIA_TYPE:
        return draw([unpack(answer.body)])[0]
    return on_white(pixels_of(File(answer.mode, answer.body, 0)))


def _classical_bytes(true: RGB, answer: Encoded | Declined, tier: str, limit_bytes: int) -> int | None:
    """The smallest AVIF or WebP file at the floor, with its boxes; of what must be true, the one auto made."""
    if answer.kind not in GENERATED:
        return len(answer.body) if isinstance(answer, Encoded) else None
    judge = Judge(true, tier, SKETCH)
    sizes = []
    for name in FORMATS:
        found = smallest(true, (name,), lambda p: judge.headroom(judge.measured(p)) >= 0, limit_bytes)
        if found:
            sizes.append(len(finished(found, true).body))
    return min(sizes, default=None)


def _bundle_bytes(request: EncodeRequest, answer: object) -> int | None:
    """The bundle of the fixed mode with thumbnail and crops, if it is above the floor; never of what must be true."""
    if isinstance(answer, Encoded) and answer.media_type == MEDIA_TYPE:
        return len(answer.body)
    if getattr(answer, "kind", "") not in GENERATED:
        return None
    made = encode(EncodeRequest(request.data, mode=SALIENT, tier=request.tier, engine=SKETCH))
    least = FLOORS[request.tier].vgg16 + calibration().margins[DRAWN][0]
    return len(made.body) if isinstance(made, Encoded) and (made.score or 0) >= least else None


def _sheet(kept: Path, example: Example, result: Result, shown: RGB) -> None:
    true = pixels(example.served)
    coded = [Coded(result.sent, f"VGG16 {result.similar:.3f}", result.auto_bytes, shown)]
    contact.write(kept / f"{Path(example.name).stem[:60]}.png", true, coded, result.auto_bytes)


def _read(file: Path) -> list[Result]:
    if not file.exists():
        return []
    return [Result(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
