"""Curves, BD-rates, modes and ablations as a page.

In: what `summary.summarise` says, the outcomes for pictures. Out: HTML. Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.rd.points import ANCHORS, RATES_BPP
from evaluation.rd.summary import BEST_CLASSICAL, MORE_METRICS, PERFECT
from evaluation.report.charts import Axes, Series, chart
from evaluation.report.page import Section, listing, page, paragraph
from evaluation.report.sheets import sheet
from evaluation.report.tables import NOT_MEASURED, UNKNOWN, estimate, number, percent, table
from evaluation.runs.schedule import Outcome
from evaluation.stats import Estimate
from proxy.encode.request import AUTO

NAMES = {
    "lpips_alex": "LPIPS-Alex ↓", "lpips_vgg": "LPIPS-VGG ↓", "dists": "DISTS ↓", "vgg16": "VGG16 similarity ↑",
    "ms_ssim": "MS-SSIM ↑", "psnr": "PSNR, dB ↑", "ocr": "text: edits a character ↓", "face": "face similarity ↑",
}  # fmt: skip
CODECS = {"webp": "WebP", "avif": "AVIF", "jpegxl": "JPEG XL", BEST_CLASSICAL: "the best of the three"}
BASES = {"paper": "the paper's: prompt, edges, palette, crops", "ours": "ours: thumbnail, crops"}
Summary = Mapping[str, Any]


def render(document: Mapping[str, Any], outcomes: Sequence[Outcome], sheets: int) -> str:
    """The whole page."""
    summary, metrics = document["summary"], document["metrics"]
    sections = [
        Section("curves", "Rate and distortion", _curves(summary, metrics)),
        Section("bd", "BD-rates", _bd(summary, metrics)),
        Section("auto", "auto against fixed modes", _modes(summary, metrics)),
        Section("worst", "The worst 5 %", _worst(summary, outcomes)),
        Section("sections", "Bytes by section", _sections(summary)),
        Section("ablations", "What each section brings", _ablations(summary, metrics)),
        Section("images", "Images", [_sheets(outcomes, sheets), *_left(summary)]),
    ]
    plan = document["plan"]
    size = f"{plan['view_px']} px at most" if plan["view_px"] else "full size"
    about = (
        f"{summary['images']} images; pictures compared at {size}. Engines: {', '.join(document['engines'].values())}. "
        "Intervals are 95 %, bootstrap over images."
    )
    if document["skipped"]:
        about += f" Skipped for want of weights or models: {', '.join(document['skipped'])}."
    introduction = [
        paragraph(
            "Our bundles against WebP, AVIF (4:2:0 and 4:4:4) and JPEG XL. Every codec may code the picture at 1/1, "
            "1/2, 1/4 or 1/8 of its size and have it enlarged again (Lanczos), and shows its best at every rate; so do "
            "our bundles, at 1/2, 1/3, 1/4, 1/6. Files and bundles are counted whole."
        ),
        paragraph(about, soft=True),
    ]
    return page("Rate and distortion", introduction, sections, f"Code and weights: {document['version'][:16]}.")


def _families(summary: Summary) -> list[str]:
    return list(dict.fromkeys(family for by in summary["curves"].values() for family in by))


def _curves(summary: Summary, metrics: Sequence[str]) -> list[str]:
    families = _families(summary)
    charts = []
    for metric in metrics:
        series = [
            Series(
                CODECS.get(f, f), [(p["bpp"], p["value"]) for p in summary["curves"][metric].get(f, [])], n, line=True
            )
            for n, f in enumerate(families)
        ]
        if any(s.points for s in series):
            counts = sorted({p["count"] for f in families for p in summary["curves"][metric].get(f, [])})
            over = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
            title = f"{NAMES[metric]}, mean over the {over} images that all codecs shown reach at that rate"
            charts.append(chart(f"rd-{metric}", title, series, Axes("bits per pixel", NAMES[metric], log_x=True)))
    if not charts:
        return [paragraph(f"{NOT_MEASURED.capitalize()}.")]
    note = (
        "Every encoding is measured with LPIPS-Alex and PSNR; those on the front of either, at most five of a family "
        "for each, with the other metrics too: their optimum can be slightly better than shown, for every family alike."
    )
    return [f'<div class="charts">{"".join(charts)}</div>', paragraph(note, soft=True)]


def _bd(summary: Summary, metrics: Sequence[str]) -> list[str]:
    rows = []
    for row in summary["bd_rates"]:
        cells = [f"{_signed(row[m])}" for m in metrics]
        rows.append([f"{row['family']} against {CODECS[row['anchor']]}", *cells])
    text = (
        "Bytes that our bundles take more (+) or less (−) than a codec for the same value of a metric, in percent: "
        "Bjøntegaard's average over the values that both reach, per image, median over images; up to "
        f"{RATES_BPP[-1]} bits per pixel. In small: 95 % interval and number of images whose curves overlap."
    )
    return [paragraph(text), table("", ["", *(NAMES[m] for m in metrics)], rows)]


def _signed(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return f"{UNKNOWN}\nno overlap"
    interval = "" if found["low"] is None else f"{found['low']:+.0f} … {found['high']:+.0f}, "
    return f"{found['value']:+.1f} %\n{interval}{found['count']} images"


def _modes(summary: Summary, metrics: Sequence[str]) -> list[str]:
    shown = [m for m in metrics if m in PERFECT]
    rows = []
    for row in summary["modes"]:
        why = ", ".join(f"{reason} {count}" for reason, count in row["declined"].items()) or "none"
        cells = [str(row["made"]), number(row["median_bytes"], 0), _estimate(row["saved"], 1, True)]
        cells += [percent(row["saved_total"]), *(_estimate(row["metrics"][m]) for m in shown)]
        cells += [_estimate(row["encode_cpu_ms"], 0), _estimate(row["draw_ms"], 0), why]
        rows.append([row["mode"], *cells])
    headings = ["mode", "made", "median bytes", "saved, median", "saved in total, originals where declined"]
    headings += [f"{NAMES[m]}, mean of those made" for m in shown]
    headings += ["encode, CPU ms, median", "draw, ms, median", "declined"]
    parts = [table("Every mode, drawn by the first engine", headings, rows, words=(len(headings) - 1,))]
    rows = []
    for row in summary["auto"]:
        cells = [str(row["images"]), f"{row['auto_bytes'] / 1000:,.1f}", f"{row['mode_bytes'] / 1000:,.1f}"]
        cells.append(percent(row["auto_smaller"], 0))
        for m in shown:
            pair = row.get(m)
            both = f"{_value(pair['auto'])} / {_value(pair['mode'])}" if pair else UNKNOWN
            cells.append(f"{both}\nno worse on {percent(pair['auto_no_worse'], 0)}" if pair else both)
        rows.append([row["mode"], *cells])
    headings = ["mode", "images", "auto, kB", "mode, kB", "auto smaller"]
    headings += [f"{NAMES[m]}: auto / mode" for m in shown]
    text = "auto as delivered: where it declines, the original's bytes and pixels count. A fixed mode never declines."
    parts += [paragraph(text), table("", headings, rows)]
    rows = [[row["mode"], *(number(row["worst"][m]) for m in metrics)] for row in summary["modes"] if row["made"]]
    return [*parts, table("Mean of the worst 5 % of the images", ["mode", *(NAMES[m] for m in metrics)], rows)]


def _value(found: Mapping[str, Any] | None) -> str:
    return UNKNOWN if found is None else f"{found['value']:.3f}"


def _estimate(found: Mapping[str, Any] | None, digits: int = 3, share: bool = False) -> str:
    return estimate(None if found is None else Estimate(**found), digits, share)


def _worst(summary: Summary, outcomes: Sequence[Outcome]) -> list[str]:
    if not summary["worst"]:
        return [paragraph("auto made no bundle.")]
    by_name = {o.item.name: o for o in outcomes}
    parts = [paragraph("Of what auto makes, by " + NAMES[summary["worst"][0]["metric"]] + ".")]
    for row in summary["worst"]:
        record = by_name[row["image"]].record
        assert record is not None
        figures = f"{row['bytes']:,} B, {row['kind']}, {NAMES[row['metric']]} {row['value']:.3f}"
        pictures = record["pictures"]
        parts.append(sheet(row["image"], pictures["original"], [("auto", figures, pictures.get(AUTO, ""))]))
    return parts


def _sections(summary: Summary) -> list[str]:
    names = list(dict.fromkeys(name for sections in summary["sections"].values() for name in sections))
    rows = [
        [mode, *(number(sections.get(name, 0.0), 0) for name in names), number(sum(sections.values()), 0)]
        for mode, sections in summary["sections"].items()
        if sections
    ]
    return [table("Mean bytes over the images with a bundle", ["mode", *names, "all"], rows)]


def _ablations(summary: Summary, metrics: Sequence[str]) -> list[str]:
    shown = [m for m in (*metrics, *MORE_METRICS) if any(m in row for row in summary["ablations"])]
    rows = []
    for row in summary["ablations"]:
        cells = [str(row["images"]), _change(row["bytes"], 0)]
        cells += [
            f"{_change(row[m]['change'], 3)}\nof {_value(row[m]['whole'])}" if m in row else UNKNOWN for m in shown
        ]
        rows.append([f"{BASES[row['base']]}\nwithout {row['section']}", *cells])
    text = (
        "The change when a section is left out, mean over the images that have it. The first engine does not read "
        "prompts if leaving them out changes nothing. Text and faces are read on images that have them."
    )
    return [paragraph(text), table("", ["bundle", "images", "bytes", *(NAMES[m] for m in shown)], rows, words=(0,))]


def _change(found: Mapping[str, Any] | None, digits: int) -> str:
    return UNKNOWN if found is None else f"{found['value']:+,.{digits}f}"


def _sheets(outcomes: Sequence[Outcome], limit: int) -> str:
    there = [o for o in outcomes if o.record and "pictures" in o.record]
    chosen = [there[i * len(there) // limit] for i in range(limit)] if 0 < limit < len(there) else there
    parts = []
    for o in chosen:
        pictures = o.record["pictures"] if o.record else {}
        names = [n for n in pictures if n not in ("original", AUTO)]
        names.sort(key=lambda name: name in ANCHORS)
        parts.append(
            sheet(
                o.item.name,
                pictures["original"],
                [(CODECS.get(n, n), "at 0.06 bits per pixel", pictures[n]) for n in names],
            )
        )
    return "".join(parts)


def _left(summary: Summary) -> list[str]:
    lines = [f"broken: {file}: {reason}" for file, reason in summary["broken"].items()]
    lines += [f"left out: {file}: {reason}" for file, reason in summary["left_out"].items()]
    return [paragraph("Not measured:"), listing(lines)] if lines else [paragraph("Every image was measured.")]
