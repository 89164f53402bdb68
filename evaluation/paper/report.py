"""The paper's tables and figures as a page, its figures beside ours.

In: what `summary.summarise` says of the sets, the records for pictures. Out: HTML. Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.paper import known
from evaluation.paper.image import PAPER_SALIENT
from evaluation.report.charts import Axes, Series, chart
from evaluation.report.page import Section, listing, page, paragraph
from evaluation.report.sheets import sheet
from evaluation.report.tables import NOT_MEASURED, UNKNOWN, estimate, number, percent, table
from evaluation.runs.schedule import Outcome
from evaluation.stats import Estimate
from proxy.encode.request import EDGES, EDGES_PALETTE, PROMPT, SALIENT

NAMES = {
    PROMPT: "prompt",
    EDGES: "prompt + Canny",
    EDGES_PALETTE: "prompt + Canny + colour",
    PAPER_SALIENT: "prompt + Canny + colour + salient",
    SALIENT: "ours: thumbnail + salient",
}
Summary = Mapping[str, Any]


def render(document: Mapping[str, Any], outcomes: Mapping[str, Sequence[Outcome]], sheets: int) -> str:
    """The whole page. `outcomes` are by set, for the pictures."""
    sets = {name: summary for name, summary in document["sets"].items() if summary is not None}
    sections = [
        Section("table1", "Table 1: savings and similarity", _table1(document, sets)),
        Section("figure3", "Figure 3: what edges cost", _figure3(sets)),
        Section("figure4", "Figure 4: savings against similarity", _figure4(sets)),
        Section("webp", "WebP at equal bytes", _webp(sets)),
        Section("tenth", "Section 2.1: JPEG and WebP at 90 % less", _tenth(sets)),
        Section("pairs", "Random pairs", _pairs(sets)),
        Section("patches", "The look of the whole set", _patches(sets)),
        Section("images", "Images", [_sheets(outcomes, sheets), *_left(sets)]),
    ]
    introduction = [
        paragraph(f"The experiments of {known.TITLE}, on other images. What differs from the paper:"),
        listing(known.DIFFERENCES),
        paragraph(_about(document, sets), soft=True),
    ]
    return page("The paper's experiments", introduction, sections, f"Code and weights: {document['version'][:16]}.")


def _about(document: Mapping[str, Any], sets: Mapping[str, Summary]) -> str:
    plan = document["plan"]
    size = f"{plan['view_px']} px at most" if plan["view_px"] else "full size"
    counts = "; ".join(f"{name} set: {s['images']} images, {s['captions']} with a caption" for name, s in sets.items())
    engines = ", ".join([*document["engines"].values(), *(f"{n}: {r}" for n, r in document["missing"].items())])
    return f"{counts}. Metrics at {size}. Engines: {engines}. Intervals are 95 %, bootstrap over images."


def _table1(document: Mapping[str, Any], sets: Mapping[str, Summary]) -> list[str]:
    engines = [*document["engines"], *document["missing"]]
    headings = ["mode", "images", "median bytes", "saved, mean", "saved: median, least … most"]
    headings.append("the paper, saved")
    headings += [f"VGG16, {engine}: median, least … most" for engine in engines]
    low, high = known.SAVED_BY_MODE
    parts = [
        paragraph(
            f"The paper: {percent(low, 0)} to {percent(high, 0)} saved by mode and set, {percent(known.MEAN_SAVED)} on "
            f"average, {percent(known.BEST_SAVED)} at best; VGG16 similarity {known.SIMILARITY} on average. Its "
            "figures of single modes are not at hand. Saved is the share of the original file's bytes, over all images "
            "that were encoded, whether that gained anything or not."
        )
    ]
    for name, summary in sets.items():
        rows = [_row(row, engines) for row in summary["table1"]]
        rows.append([f"random pairs\nthe paper: {known.RANDOM_PAIRS}", *[""] * 5, *_random(summary, len(engines))])
        parts.append(table(f"The {name} set", headings, rows, words=(0,)))
        if summary["drawable"] < summary["images"]:
            rows = [_row(row, engines) for row in summary["table1_drawable"]]
            title = f"Of the {name} set, the photographs and illustrations: graphics and text are never drawn by auto"
            parts.append(table(title, headings, rows, words=(0,)))
    if document["sets"].get("synthetic") is None:
        parts.append(paragraph(f"The synthetic set: {NOT_MEASURED}, no such set was given (--synthetic DIR)."))
    for engine, reason in document["missing"].items():
        parts.append(paragraph(f"{engine}: {NOT_MEASURED}. {reason}", soft=True))
    return parts


def _row(row: Mapping[str, Any], engines: Sequence[str]) -> list[str]:
    low, high = known.SAVED_BY_MODE
    papers = f"{percent(low, 0)} … {percent(high, 0)}" if row["mode"] != SALIENT else UNKNOWN
    average = _estimate(row["saved"]["mean"], 1, True) if row["saved"] else NOT_MEASURED
    cells = [NAMES[row["mode"]], str(row["encoded"]), number(row["median_bytes"], 0), average]
    return [*cells, _range(row["saved"]), papers, *(_vgg(row, engine) for engine in engines)]


def _range(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return NOT_MEASURED
    return f"{percent(found['median']['value'])}\n{percent(found['min'])} … {percent(found['max'])}"


def _random(summary: Summary, columns: int) -> list[str]:
    found = summary["random_pairs"]
    shown = NOT_MEASURED if found is None else f"{found['mean']['value']:.2f}\nmean of {found['pairs']}"
    return [shown, *[""] * (columns - 1)]


def _vgg(row: Mapping[str, Any], engine: str) -> str:
    found = row["similarity"][engine]
    if "not_measured" in found:
        return NOT_MEASURED
    return f"{found['median']['value']:.3f}\n{found['min']:.3f} … {found['max']:.3f}"


def _spread(found: Mapping[str, Any] | None, digits: int, share: bool = False) -> list[str]:
    """(median with interval, least … most)."""
    if found is None:
        return [NOT_MEASURED, NOT_MEASURED]
    show = percent if share else number
    return [_estimate(found["median"], digits, share), f"{show(found['min'], digits)} … {show(found['max'], digits)}"]


def _estimate(found: Mapping[str, Any] | None, digits: int = 3, share: bool = False) -> str:
    return estimate(None if found is None else Estimate(**found), digits, share)


def _figure3(sets: Mapping[str, Summary]) -> list[str]:
    charts, rows = [], []
    for name, summary in sets.items():
        series = [
            Series(row["coding"], [(size / 1000, saved) for size, saved in row["points"]], colour)
            for colour, row in enumerate(summary["figure3"])
        ]
        axes = Axes("original file, kB", "bytes saved", log_x=True, percent_y=True, low_y=-0.5)
        charts.append(chart(f"figure3-{name}", f"{name} set; below −50 % cut off", series, axes))
        rows += [[f"{name}: {row['coding']}", *_spread(row["saved"], 1, True)] for row in summary["figure3"]]
    text = (
        "Canny maps of the original's size at OpenCV's customary thresholds of 100 and 200, and the map that a bundle "
        "carries. Without prompt and colours."
    )
    headings = ["edges as", "saved, median", "least … most"]
    return [paragraph(text), f'<div class="charts">{"".join(charts)}</div>', table("", headings, rows)]


def _figure4(sets: Mapping[str, Summary]) -> list[str]:
    charts = []
    for name, summary in sets.items():
        found = summary["figure4"]
        names = [mode for mode in (*NAMES, "WebP at equal bytes") if mode in found]
        series = [Series(NAMES.get(mode, mode), found[mode], colour) for colour, mode in enumerate(names)]
        axes = Axes(
            "bytes saved", "VGG16 similarity", percent_x=True, level=(known.RANDOM_PAIRS, "random pairs"), low_x=0.7
        )
        charts.append(
            chart(f"figure4-{name}", f"{name} set, drawn by the first engine; under 70 % cut off", series, axes)
        )
    return [f'<div class="charts">{"".join(charts)}</div>']


def _webp(sets: Mapping[str, Summary]) -> list[str]:
    parts = [
        paragraph(
            "WebP in at most as many bytes as the bundle, best quality: at full size, where that fits at all, and at "
            "the best of 1/1, 1/2, 1/4 and 1/8 of the size, brought back by Lanczos. A fair rival may downscale."
        )
    ]
    for name, summary in sets.items():
        rows = []
        for row in summary["webp"]:
            for metric, sizes in row["metrics"].items():
                for size, found in sizes.items():
                    label = f"{NAMES[row['mode']]}\nWebP {'at full size' if size == 'full' else 'at the best size'}"
                    cells = [_estimate(found["ours"]), _estimate(found["webp"]), percent(found["ours_better"], 0)]
                    rows.append([label, metric, str(found["images"]), *cells])
        headings = ["bundle", "metric", "images", "ours, mean", "WebP, mean", "ours better"]
        parts.append(table(f"The {name} set", headings, rows, words=(0,)))
    return parts


def _tenth(sets: Mapping[str, Summary]) -> list[str]:
    rows = []
    for name, summary in sets.items():
        for codec, found in summary["tenth"].items():
            rows.append(
                [f"{name}: {codec}", str(found["images"]), str(found["impossible"]), *_spread(found["ssim"], 3)]
            )
    headings = ["codec", "images", "too large at worst quality", "SSIM, median", "least … most"]
    text = "At full size, best quality in a tenth of the original file. SSIM of Wang et al. 2004, three channels."
    return [paragraph(text), table("The paper's figures are not at hand", headings, rows)]


def _pairs(sets: Mapping[str, Summary]) -> list[str]:
    parts = []
    for name, summary in sets.items():
        found = summary["random_pairs"]
        if found is None:
            parts.append(paragraph(f"{name} set: {NOT_MEASURED}, no weights of VGG16 or too few images."))
            continue
        low, high = found["mean"]["low"], found["mean"]["high"]
        interval = f" (95 %: {low:.3f} … {high:.3f})" if low is not None else ""
        verdict = "within" if found["within"] else "not within"
        parts.append(
            paragraph(
                f"{name} set: mean VGG16 similarity of {found['pairs']} random pairs {found['mean']['value']:.3f}"
                f"{interval}; over all pairs {found['all_pairs_mean']:.3f}. The paper: {known.RANDOM_PAIRS}; ours is "
                f"{verdict} {known.RANDOM_PAIR_TOLERANCE} of it."
            )
        )
    return parts


def _patches(sets: Mapping[str, Summary]) -> list[str]:
    rows = []
    for name, summary in sets.items():
        for mode, found in summary["patches"].items():
            label = NAMES.get(mode, "WebP at the bytes of ours")
            cells = [_patch(found, metric) for metric in ("vgg16_patch_fid", "vgg16_patch_kid")]
            rows.append([f"{name}: {label}", str(found["patches"]), *cells])
    text = (
        "Fréchet and kernel distances between patches of 64 px, true and drawn, on VGG16 features (pool5, averaged). "
        "These are not Inception's FID and KID, and compare with nothing published."
    )
    headings = ["pictures", "patches", "VGG16 patch FID", "VGG16 patch KID"]
    return [paragraph(text), table("", headings, rows, words=(2, 3))]


def _patch(found: Mapping[str, Any], metric: str) -> str:
    if metric in found:
        return f"{found[metric]:.3f}"
    return f"skipped\n{found.get(f'{metric}_skipped') or found['skipped']}"


def _sheets(outcomes: Mapping[str, Sequence[Outcome]], limit: int) -> str:
    chosen = [
        o
        for listed in outcomes.values()
        for o in _spread_out([o for o in listed if o.record and "modes" in o.record], limit)
    ]
    return "".join(_sheet(o) for o in chosen)


def _spread_out(listed: Sequence[Outcome], limit: int) -> list[Outcome]:
    return [listed[i * len(listed) // limit] for i in range(limit)] if 0 < limit < len(listed) else list(listed)


def _sheet(outcome: Outcome) -> str:
    record = outcome.record
    assert record is not None
    pictures, others = record["pictures"], []
    for mode in (EDGES_PALETTE, PAPER_SALIENT, SALIENT):
        row = record["modes"][mode]
        if mode in pictures:
            engine, values = next(iter(row["engines"].items()))
            similar = f", VGG16 {values['vgg16']:.2f}" if "vgg16" in values else ""
            others.append((NAMES[mode], f"{row['bytes']:,} B, {engine}{similar}", pictures[mode]))
    if "webp" in pictures:
        rival = record["webp"][SALIENT]
        similar = f", VGG16 {rival['scaled']['vgg16']:.2f}" if "vgg16" in rival["scaled"] else ""
        others.append(("WebP at the bytes of ours", f"{rival['setting']}{similar}", pictures["webp"]))
    return sheet(f"{outcome.item.name}, {record['original_bytes']:,} B", pictures["original"], others)


def _left(sets: Mapping[str, Summary]) -> list[str]:
    lines = []
    for name, summary in sets.items():
        lines += [f"{name} set, broken: {file}: {reason}" for file, reason in summary["broken"].items()]
        lines += [f"{name} set, left out: {file}: {reason}" for file, reason in summary["left_out"].items()]
    return [paragraph("Not measured:"), listing(lines)] if lines else [paragraph("Every image was measured.")]
