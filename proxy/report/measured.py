"""The report's sections on what was measured: time by stage, and quality.

In: a `Report`. Out: sections of the page. Refuses nothing; without matplotlib there are tables only.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.ledger.answers import Quality
from proxy.ledger.row import Row
from proxy.report import charts, words
from proxy.report.content import UPSTREAM, Report
from proxy.report.numbers import DASH, milliseconds, moment, share, size
from proxy.report.page import Column, Section, figure, paragraph, table

WORDS, BAR = "words", "bar"


def stages(report: Report, drawn: bool) -> Section | None:
    """How long the stages took; None when none was timed. `drawn`: there may be charts."""
    found = report.summary.stages
    if not found:
        return None
    rows = [
        (words.stage(s.name), f"{s.responses:,}", *(milliseconds(v) for v in (s.p50_ms, s.p95_ms, s.p99_ms)))
        for s in found
    ]
    heads = (Column("stage", WORDS), Column("responses"), Column("p50"), Column("p95"), Column("p99"))
    figures = table("Time by stage", heads, rows)
    note = "Encoding, waiting and drawing are what Sketchwire adds; the rest would be there without it."
    if not all(stage.exact for stage in found):
        note += " The percentiles are read from histograms: at most 9 % off."
    if not drawn:
        return Section("stages", "Time by stage", [figures, paragraph(note, True)])
    told = "Per stage from its median to its 99th percentile. " + "; ".join(
        f"{words.stage(s.name)}: {milliseconds(s.p50_ms)} to {milliseconds(s.p99_ms)}" for s in found
    )
    chart = figure(charts.stages("stages", told, found), "Median (dot), p95 (diamond), p99 (stroke)")
    return Section(
        "stages", "Time by stage", [f'<div class="two">{chart}<div>{figures}{paragraph(note, True)}</div></div>']
    )


def quality(report: Report, drawn: bool) -> Section | None:
    """How like their originals the pictures were; None when nobody measured."""
    found = report.quality
    if found is None:
        return None
    who = "" if report.quality_role == report.role else f" It was measured by the {UPSTREAM} proxy, for all."
    parts = [
        paragraph(f"How like its original each image was that the encoder measured, 1 is equal.{who}"),
        table("Similarity", (Column("images"), Column("p5"), Column("median"), Column("p95")),
              [(f"{found.images:,}", f"{found.p5:.2f}", f"{found.p50:.2f}", f"{found.p95:.2f}")]),
    ]  # fmt: skip
    if drawn:
        told = f"{found.images:,} images; median similarity {found.p50:.2f}, one in twenty below {found.p5:.2f}."
        chart = figure(charts.quality("quality", told, found), "Images by similarity", _histogram(found))
        parts = [f'<div class="two">{chart}<div>{"".join(parts)}</div></div>']
    parts += [
        _examples(f"The {name} measured of those still recorded one by one", rows)
        for name, rows in (("lowest", report.worst), ("highest", report.best))
        if rows
    ]
    return Section("quality", "Quality", parts)


def _histogram(found: Quality) -> str:
    tenths: dict[int, int] = {}
    for middle, count in found.counts:
        place = min(int(middle * 20), 19)
        tenths[place] = tenths.get(place, 0) + count
    rows = [
        (f"{n / 20:.2f} to {(n + 1) / 20:.2f}", f"{c:,}", share(c, found.images)) for n, c in sorted(tenths.items())
    ]
    return table("Images by similarity", (Column("similarity", WORDS), Column("images"), Column("of all", BAR)), rows)


def _examples(caption: str, rows: Sequence[Row]) -> str:
    heads = (
        Column("when, UTC", WORDS), Column("similarity"), Column("kind", WORDS), Column("mode", WORDS),
        Column("pixels"), Column("site sent"), Column("crossed the link"),
    )  # fmt: skip
    cells = [
        (moment(row.time_s), f"{row.quality or 0:.3f}", row.kind or DASH, row.mode or DASH,
         f"{row.width_px} × {row.height_px}" if row.width_px else DASH, size(row.origin_bytes),
         size(row.link_bytes + row.refetch_bytes))
        for row in rows
    ]  # fmt: skip
    return table(caption, heads, cells)
