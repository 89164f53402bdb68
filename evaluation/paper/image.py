"""One image through the paper's experiments.

In: an `Item` and a `Plan`. Out: a JSON record of everything that is measured on it. Refuses: what cannot be opened
(`ValueError`); images that are not opaque or too small for the paper's filter have a record that says so.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from evaluation import drawn
from evaluation.made import Made, make, paper_salient
from evaluation.metrics import distribution
from evaluation.metrics.measure import Measure
from evaluation.metrics.pixels import ssim
from evaluation.paper import known, lossy, outlines
from evaluation.pictures import at_view, like, shown
from evaluation.runs.store import Record
from evaluation.sets.folder import Item
from proxy.encode.request import EDGES, EDGES_PALETTE, PROMPT, SALIENT
from proxy.encode.source import open_source
from proxy.policy import Reason, Skip

RGB = npt.NDArray[np.uint8]
PAPER_SALIENT = "paper-salient"
PAPER_MODES = (PROMPT, EDGES, EDGES_PALETTE, PAPER_SALIENT)
MODES = (*PAPER_MODES, SALIENT)
WEBP_RIVALS = (EDGES_PALETTE, SALIENT)  # the modes that WebP is compared with at equal bytes
PATCHES = 16  # of an image
MAX_PIXELS = 50_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: `view_px` is the long side of the pictures that metrics compare, 0 keeps their size."""

    engines: tuple[str, ...] = ("sketch", "preview", "diffusion")
    metrics: tuple[str, ...] = ("vgg16", "lpips_alex", "ms_ssim")
    view_px: int = 512
    weights: Path | None = None
    detect: bool = True
    papers_filter: bool = True


@functools.lru_cache(maxsize=1)
def measure_with(weights: Path | None) -> Measure:
    """The metrics, loaded once in this process."""
    return Measure(weights)


def look(item: Item, plan: Plan) -> Record:
    """The record of one image. Raises ValueError for broken files."""
    data = item.path.read_bytes()
    source = open_source(data, MAX_PIXELS)
    if isinstance(source, Skip):
        if source.reason in (Reason.BROKEN, Reason.UNSUPPORTED_FORMAT):
            raise ValueError(f"{source.reason.value}: {source.detail}")
        return {"left_out": f"{source.reason.value}: {source.detail}"}
    size = source.width_px, source.height_px
    if plan.papers_filter and (size[0] < known.MIN_WIDTH_PX or size[1] < known.MIN_HEIGHT_PX):
        return {"left_out": f"{size[0]}×{size[1]} px, under {known.MIN_WIDTH_PX}×{known.MIN_HEIGHT_PX}"}
    full, view = _full(data), at_view(source.rgb, plan.view_px)
    measure = measure_with(plan.weights)
    measure.against(view)
    modes = {made.mode: made for made in _made(data, item.caption, plan)}
    pictures = {"original": shown(view)}
    patches = {"original": _patches(measure, view)}
    record: Record = {
        "original_bytes": len(data),
        "width_px": size[0],
        "height_px": size[1],
        "category": item.category,
        "caption": bool(item.caption),
        "modes": {},
        "vector": _text(measure.vector(view)),
    }
    for mode, made in modes.items():
        row = _row(made)
        row["engines"] = _drawn(made, view, measure, plan, pictures, patches)
        record["modes"][mode] = row
    record["webp"] = _webp(source.rgb, view, modes, measure, plan, pictures, patches)
    record["outlines"] = outlines.costs(full, modes[EDGES].bundle)
    record["lossy"] = _lossy(full, len(data))
    record["pictures"] = pictures
    record["patches"] = {name: text for name, text in patches.items() if text}
    return record


def _drawn(
    made: Made, view: RGB, measure: Measure, plan: Plan, pictures: dict[str, str], patches: dict[str, str]
) -> dict[str, Any]:
    """Metrics by engine; pictures and patches of the first one that draws this mode are kept."""
    rows: dict[str, Any] = {}
    measured: list[tuple[RGB, dict[str, float]]] = []  # engines that do the same are measured once
    for name in plan.engines:
        result = None if made.bundle is None else drawn.draw(name, made.bundle)
        if result is None:
            continue
        seen = like(result.picture, view)
        values = next((known for other, known in measured if np.array_equal(other, seen)), None)
        if values is None:
            values = measure(seen, plan.metrics)
            measured.append((seen, values))
        rows[name] = {**values, "draw_ms": round(result.draw_ms, 1)}
        if made.mode not in pictures:
            pictures[made.mode] = shown(seen)
            if made.mode in (PAPER_SALIENT, SALIENT):
                patches[made.mode] = _patches(measure, seen)
    return rows


def vector_of(text: str) -> npt.NDArray[np.float32]:
    """Features from a record: (512,) or, for patches, (n, 512) flattened."""
    return np.frombuffer(base64.b64decode(text), np.float16).astype(np.float32)


def _made(data: bytes, words: str, plan: Plan) -> list[Made]:
    detect, main = plan.detect, plan.engines[0] if plan.engines else "preview"
    plain = [make(data, mode, words) for mode in (PROMPT, EDGES, EDGES_PALETTE)]
    salient = make(data, SALIENT, words, main, detect)
    return [*plain, paper_salient(plain[2], salient), salient]


def _row(made: Made) -> dict[str, Any]:
    row: dict[str, Any] = {"encode_cpu_ms": round(made.encode_cpu_ms, 1), "kind": made.kind}
    if made.bundle is None:
        return {**row, "reason": made.reason}
    crops = len(made.bundle.salient.rectangles) if made.bundle.salient else 0
    return {**row, "bytes": made.size_bytes, "sections": made.sections, "crops": crops}


def _webp(
    rgb: RGB,
    view: RGB,
    modes: Mapping[str, Made],
    measure: Measure,
    plan: Plan,
    pictures: dict[str, str],
    patches: dict[str, str],
) -> dict[str, Any]:
    """WebP at the bytes of some modes: at full size where that fits, and at the scale that LPIPS-Alex (else PSNR)
    likes best.
    """
    found: dict[str, Any] = {}
    for mode in WEBP_RIVALS:
        if modes[mode].bundle is None:
            continue
        files = [(file.setting, like(file.picture, view)) for file in lossy.webp(rgb, modes[mode].size_bytes)]
        if not files:
            found[mode] = {"full": None, "scaled": None}
            continue
        leader = lossy.leader([picture for _, picture in files], measure)
        scaled = measure(files[leader][1], plan.metrics)
        at_full = files[0][1] if files[0][0].startswith("÷1 ") else None
        full = scaled if leader == 0 else None if at_full is None else measure(at_full, plan.metrics)
        found[mode] = {"full": None if at_full is None else full, "scaled": scaled, "setting": files[leader][0]}
        if mode == SALIENT:
            pictures["webp"], patches["webp"] = shown(files[leader][1]), _patches(measure, files[leader][1])
    return found


def _lossy(full: RGB, original_bytes: int) -> dict[str, float | None]:
    found = lossy.tenth(full, original_bytes, known.LOSSY_SHARE)
    return {name: None if coded is None else ssim(full, coded.picture) for name, coded in found.items()}


def _full(data: bytes) -> RGB:
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
        return np.asarray(upright.convert("RGB"))


def _patches(measure: Measure, view: RGB) -> str:
    stack = distribution.patches(view, PATCHES)
    return _text(measure.patches(stack)) if len(stack) else ""


def _text(features: npt.NDArray[np.float32] | None) -> str:
    return "" if features is None else base64.b64encode(features.astype(np.float16).tobytes()).decode()
