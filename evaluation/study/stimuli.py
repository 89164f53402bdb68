"""The pictures of a study: each original, what we make of it, and what each classical codec makes of it in those bytes.

In: images with the words of their pages. Out: a folder of lossless pictures with `stimuli.json`; later the `Stimuli`
read back from it. Refuses: images that are broken or not opaque (listed, not fatal), folders that are no stimuli
(`ValueError`).

Ours is the sketch engine's drawing of the best bundle within a budget; a codec's is its best file, at any scale, in at
most the bytes of that bundle. Best is by LPIPS-Alex where its weights are at hand, else by MS-SSIM; the manifest says
which. Pictures are stored losslessly and under numbers, so that nothing tells them apart but what they show.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.pictures import at_view
from evaluation.sets.folder import Item
from proxy.encode.source import open_full
from proxy.policy import Skip

RGB = npt.NDArray[np.uint8]
FILE = "stimuli.json"
OURS, ORIGINAL = "sketch", "original"
CODECS = {"webp": "webp", "avif-420": "avif", "avif-444": "avif", "jpegxl": "jpegxl"}  # a codec's name → its condition
MAX_PIXELS = 100_000_000
MIN_BUDGET_BYTES = 300


@dataclass(frozen=True, slots=True)
class Shown:
    """One version of an image: its file below the folder, the bytes that were sent for it, how it was made."""

    file: str
    size_bytes: int
    setting: str


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One image in all its versions. `conditions` has ours and those codecs that can be so small; `best` is the codec
    that is best by the metric. `words` and `page` are its context.
    """

    name: str
    words: str
    page: str
    licence: str
    original: Shown
    conditions: Mapping[str, Shown]
    best: str


@dataclass(frozen=True, slots=True)
class Stimuli:
    """All images of a study. `digest` covers the manifest, so that answers can be told apart by what was shown."""

    folder: Path
    engine: str
    chosen_by: str
    budget_bpp: float
    images: tuple[Stimulus, ...]
    digest: str

    def image(self, name: str) -> Stimulus:
        """The image of that name. Raises KeyError."""
        return next((i for i in self.images if i.name == name), None) or _missing(name)

    def file(self, name: str, condition: str) -> Path:
        """The picture of an image in a condition, the original among them. Raises KeyError."""
        image = self.image(name)
        return self.folder / (image.original if condition == ORIGINAL else image.conditions[condition]).file


def read(folder: Path) -> Stimuli:
    """The stimuli in `folder`. Raises ValueError."""
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
        document = json.loads(text)
        images = tuple(_stimulus(row) for row in document["images"])
        about = document["engine"], document["chosen_by"], float(document["budget_bpp"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} has no stimuli: {error}; make them with evaluate study build") from error
    if not images:
        raise ValueError(f"{folder / FILE} lists no images")
    return Stimuli(folder, *about, images, hashlib.sha256(text.encode()).hexdigest())


def build(
    found: Sequence[Item], out: Path, budget_bpp: float, view_px: int, weights: Path | None,
    tick: Callable[[], None] = lambda: None,
) -> tuple[Stimuli, dict[str, str]]:  # fmt: skip
    """Make the stimuli, and say of each image that was left out why. Raises ValueError when none is left."""
    from evaluation import drawn
    from evaluation.metrics.measure import Measure

    measure = Measure(weights)
    metric = "lpips_alex" if "lpips_alex" in measure.names else "ms_ssim"
    if isinstance(engine := drawn.engine(OURS), drawn.Missing):
        raise ValueError(f"the engine {OURS} cannot work here: {engine.reason}")
    rows: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for item in found:
        rgb = _picture(item, view_px)
        if isinstance(rgb, str):
            left_out[item.name] = rgb
        else:
            row = _versions(item, rgb, len(rows), out, budget_bpp, measure, metric)
            if row is None:
                left_out[item.name] = "no two versions fit the budget"
            else:
                rows.append(asdict(row))
        tick()
    if not rows:
        raise ValueError(f"no image could be used: {left_out}")
    document = {
        "engine": drawn.label(OURS), "chosen_by": metric, "budget_bpp": budget_bpp, "view_px": view_px,
        "images": rows, "left_out": left_out,
    }  # fmt: skip
    (out / FILE).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return read(out), left_out


def _versions(
    item: Item, rgb: RGB, number: int, out: Path, budget_bpp: float, measure: Any, metric: str
) -> Stimulus | None:
    from evaluation import drawn, ours
    from evaluation.codecs import Coded, within
    from evaluation.metrics.measure import better

    measure.against(rgb)
    budget_bytes = max(MIN_BUDGET_BYTES, int(budget_bpp * rgb.shape[0] * rgb.shape[1] / 8))

    def drawings() -> Iterator[Coded]:
        for setting, bundle, size_bytes in ours.bundles_within(rgb, budget_bytes):
            made = drawn.draw(OURS, bundle)
            if made is not None:
                yield Coded(OURS, setting, size_bytes, made.picture)

    def lead(candidates: Iterator[Coded]) -> dict[str, tuple[Coded, float]]:
        leaders: dict[str, tuple[Coded, float]] = {}
        for one in candidates:
            condition, value = CODECS.get(one.family, one.family), measure(one.picture, (metric,))[metric]
            if condition not in leaders or better(metric, value, leaders[condition][1]):
                leaders[condition] = (one, value)
        return leaders

    own = lead(drawings())
    if OURS not in own:
        return None
    classical = lead(within(rgb, own[OURS][0].size_bytes))
    if not classical:
        return None
    best = next(iter(classical))
    for condition, (_, value) in classical.items():
        best = condition if better(metric, value, classical[best][1]) else best
    folder = f"pictures/{number:03}"
    original = Shown(_save(rgb, out, folder, 0), item.path.stat().st_size, "as published")
    versions = {
        condition: Shown(_save(one.picture, out, folder, place), one.size_bytes, f"{one.family} {one.setting}")
        for place, (condition, (one, _)) in enumerate({**own, **classical}.items(), 1)
    }
    return Stimulus(item.name, item.caption, item.category, item.licence, original, versions, best)


def _picture(item: Item, view_px: int) -> RGB | str:
    try:
        pixels = open_full(item.path.read_bytes(), MAX_PIXELS)
    except OSError as error:
        return str(error)
    if isinstance(pixels, Skip):
        return f"{pixels.reason.value}: {pixels.detail}"
    return "not opaque" if pixels.shape[2] == 4 else at_view(pixels, view_px)


def _save(rgb: RGB, out: Path, folder: str, place: int) -> str:
    (out / folder).mkdir(parents=True, exist_ok=True)
    file = f"{folder}/{place}.webp"
    Image.fromarray(rgb).save(out / file, "WEBP", lossless=True, quality=50, method=2)
    return file


def _stimulus(row: Mapping[str, Any]) -> Stimulus:
    conditions = {name: Shown(**shown) for name, shown in row["conditions"].items()}
    return Stimulus(**{**row, "original": Shown(**row["original"]), "conditions": conditions})


def _missing(name: str) -> Stimulus:
    raise KeyError(name)
