"""The report as one HTML file.

In: a `Report`, perhaps the one of the period before it. Out: the document. Refuses nothing; what is not known is said
to be so, and without matplotlib there are tables only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.ledger.answers import Group, Summary, Totals, grouped
from proxy.report import charts, measured, pictures, words
from proxy.report.content import UPSTREAM, Report
from proxy.report.numbers import DASH, duration, milliseconds, moment, money, percent, rate, share, size
from proxy.report.page import Column, Section, figure, page, paragraph, table, text

MOST_BARS, MOST_ROWS = 7, 40
WORDS, BAR = "words", "bar"
SIZES = (Column("saved", BAR), Column("sites sent"), Column("crossed the link"), Column("responses"))
KEY = (
    '<p class="soft"><span class="key b"></span>what the sites sent '
    '&emsp;<span class="key a"></span>what crossed the link</p>'
)
NO_CHARTS = "matplotlib is not installed here, so this report has tables only: pip install 'sketchwire[report]'."


def render(report: Report, before: Report | None = None, version: str = "") -> str:
    """The document; `before` is shown beside the report."""
    drawn = charts.available()
    sections = [_compared(report, before)] if before else []
    sections += [_time(report, drawn), _types(report, drawn), _modes(report), _not_saved(report)]
    sections += [section for section in (measured.stages(report, drawn), measured.quality(report, drawn)) if section]
    if seen := pictures.examples(report.worst_seen, report.best_seen):
        sections.append(Section("examples", "Examples, before and after", seen))
    sections += [section for section in (_domains(report), _subscribers(report), _method(report)) if section]
    whose = f"subscriber {report.subscriber}" if report.subscriber else "all subscribers"
    introduction = [
        "<h1>Sketchwire: what was saved</h1>",
        paragraph(f"{moment(report.since_s)} to {moment(report.until_s)} UTC · {whose} · {report.role} proxy", True),
        "" if drawn else f'<p class="note">{text(NO_CHARTS)}</p>',
        *_headline(report),
    ]
    maker = f"Made by Sketchwire {version}".strip()
    footer = [paragraph(f"{maker}. This file loads nothing from anywhere and runs no script.")]
    style = pictures.STYLE if report.worst_seen or report.best_seen else ""
    return page(f"Sketchwire report, {moment(report.until_s)} UTC", introduction, sections, footer, style)


def crossed_bytes(totals: Totals) -> int:
    """All that crossed the link: answers, heads, framing, and what was fetched again."""
    return totals.link_bytes + totals.refetch_bytes


def _headline(report: Report) -> list[str]:
    totals, found, value = report.summary.totals, report.summary, report.worth
    saved = totals.saved_percent
    if saved is None:
        return [paragraph("Nothing was recorded in this period.")]
    words_ = "fewer bytes crossed the link" if totals.saved_bytes >= 0 else "more bytes crossed the link"
    small = "" if totals.saved_bytes >= 0 else ' class="less"'
    big = f"{abs(saved):.1f} %" if abs(saved) < 99.95 else f"{abs(saved):,.0f} %"
    lines = [
        f'<p class="saved"><strong{small}>{big}</strong><span>{words_} than the sites sent: '
        f"{size(crossed_bytes(totals))} instead of {size(totals.origin_bytes)}. {_charged(totals)}</span></p>"
    ]
    tiles = [
        ("Saved", size(totals.saved_bytes), f"of {size(totals.origin_bytes)}; of images {_images(report)}"),
        _time_tile(report),
        _money_tile(report),
        ("Responses", f"{totals.responses:,}", f"{totals.images:,} images, {_people(report)}"),
        ("Cache hits", percent(_cache_rate(report)), f"{totals.cache_hits:,} of {_drawn(found):,} drawn"),
        ("Fetched again", f"{totals.refetches:,}", f"{size(totals.refetch_bytes)}, charged above"),
    ]
    parts = "".join(
        f"<div><dt>{text(name)}</dt><dd><b>{text(figure_)}</b><small>{text(note)}</small></dd></div>"
        for name, figure_, note in tiles
    )
    lines.append(f'<dl class="tiles">{parts}</dl>')
    if value.bytes_money is not None and report.subscriber:
        lines.append(paragraph("Running costs are the operator's and not part of one subscriber's figures.", True))
    return lines


def _charged(totals: Totals) -> str:
    if not totals.refetch_bytes:
        return "Headers, framing and encryption are charged against it; nothing had to be fetched again."
    again = size(totals.refetch_bytes)
    return f"Headers, framing, encryption and {again} that were fetched again are charged against it."


def _images(report: Report) -> str:
    return percent(report.summary.images.saved_percent)


def _people(report: Report) -> str:
    return "1 subscriber" if report.summary.subscribers == 1 else f"{report.summary.subscribers:,} subscribers"


def _drawn(found: Summary) -> int:
    return sum(group.totals.responses for group in found.by_decision if group.key[0] == "reconstructed")


def _cache_rate(report: Report) -> float | None:
    return share(report.summary.totals.cache_hits, _drawn(report.summary))


def _time_tile(report: Report) -> tuple[str, str, str]:
    value = report.worth
    if value.time_s is None or value.rate_bits_s is None:
        return "Link time saved", DASH, "the link's rate is not known: [report] link_kbit_s"
    how = "as large answers show" if value.rate_measured else "as configured"
    return "Link time saved", duration(value.time_s), f"at {rate(value.rate_bits_s)}, {how}"


def _money_tile(report: Report) -> tuple[str, str, str]:
    value = report.worth
    if value.bytes_money is None or value.net_money is None:
        return "Money saved", DASH, "no price is set: [report] price_per_mb"
    costs = value.drawing_money + value.running_money
    note = f"{money(value.bytes_money, value.currency)} of data less {money(costs, value.currency)} for drawing"
    return "Money saved, net", money(value.net_money, value.currency), f"{note} and running it"


def _compared(report: Report, before: Report) -> Section:
    pairs: list[tuple[str, Callable[[Report], float | None], Callable[[float], str]]] = [
        ("saved", lambda r: r.summary.totals.saved_percent, percent),
        ("saved of images", lambda r: r.summary.images.saved_percent, percent),
        ("bytes saved", lambda r: r.summary.totals.saved_bytes, lambda v: size(int(v))),
        ("sites sent", lambda r: r.summary.totals.origin_bytes, lambda v: size(int(v))),
        ("crossed the link", lambda r: crossed_bytes(r.summary.totals), lambda v: size(int(v))),
        ("responses", lambda r: r.summary.totals.responses, lambda v: f"{v:,.0f}"),
        ("fetched again", lambda r: r.summary.totals.refetches, lambda v: f"{v:,.0f}"),
        ("drawings from the cache", _cache_rate, percent),
        ("link time saved", lambda r: r.worth.time_s, duration),
        ("money saved, net", lambda r: r.worth.net_money, lambda v: money(v, report.worth.currency)),
        ("drawing, p95", lambda r: _p95(r, "reconstruct_ms"), milliseconds),
        ("image altogether, p95", lambda r: _p95(r, "total_ms"), milliseconds),
    ]
    rows = []
    for name, read, shown in pairs:
        now, then = read(report), read(before)
        if now is None and then is None:
            continue
        rows.append((name, *(DASH if v is None else shown(v) for v in (now, then)), _change(now, then, shown)))
    types = _side_by_side(report.summary.by_content_type, before.summary.by_content_type)
    heads = (Column("figure", WORDS), Column("this period"), Column("the one before"), Column("change"))
    periods = (
        f"This period: {moment(report.since_s)} to {moment(report.until_s)} UTC. "
        f"The one before: {moment(before.since_s)} to {moment(before.until_s)} UTC."
    )
    parts = [paragraph(periods, True), table("Two periods", heads, rows)]
    saved = (Column("content type", WORDS), Column("saved", BAR), Column("saved before", BAR))
    return Section("compare", "Compared", [*parts, table("Saved by content type", saved, types)])


def _change(now: float | None, then: float | None, shown: Callable[[float], str]) -> str:
    if now is None or then is None:
        return DASH
    difference = shown(now - then).replace("-", "−").replace(" %", " points")
    return f"{'+' if now > then else '±' if now == then else ''}{difference}"


def _p95(report: Report, name: str) -> float | None:
    return next((stage.p95_ms for stage in report.summary.stages if stage.name == name), None)


def _side_by_side(now: Sequence[Group], then: Sequence[Group]) -> list[tuple[str, float | None, float | None]]:
    known = {group.key[0]: group.totals.saved_percent for group in then}
    return [(g.key[0] or DASH, g.totals.saved_percent, known.get(g.key[0])) for g in _largest(now)[:12]]


def _time(report: Report, drawn: bool) -> Section:
    steps = {60: "minute", 300: "5 minutes", 1_800: "half hour", 3_600: "hour", 21_600: "6 hours", 86_400: "day"}
    each = steps.get(report.step_s, "week")
    rows = [(moment(p.start_s), *_sums(p.totals)) for p in report.points]
    figures = table(f"By {each}, UTC", (Column("from", WORDS), *SIZES), rows)
    if not drawn or not report.points:
        return Section("time", "Over time", [figures])
    total = report.summary.totals
    told = (
        f"Bars per {each}, from {moment(report.points[0].start_s)} UTC on: what the sites sent, "
        f"{size(total.origin_bytes)} in all, and what crossed the link, {size(crossed_bytes(total))}."
    )
    svg = charts.over_time("time", told, report.points, report.step_s)
    return Section("time", "Over time", [figure(svg, f"Bytes per {each}, UTC", figures)])


def _grouped(caption: str, head: str, groups: Sequence[Group], name: Callable[[Group], str]) -> str:
    rows = [(name(g), *_sums(g.totals)) for g in groups[:MOST_ROWS]]
    return table(caption, (Column(head, WORDS), *SIZES), rows)


def _sums(totals: Totals) -> tuple[object, ...]:
    """The cells of `SIZES`."""
    return totals.saved_percent, size(totals.origin_bytes), size(crossed_bytes(totals)), f"{totals.responses:,}"


def _types(report: Report, drawn: bool) -> Section:
    groups = _largest(report.summary.by_content_type)
    figures = _grouped("By content type, as the sites sent it", "content type", groups, lambda g: g.key[0] or DASH)
    bars = [(g.key[0], g.totals.origin_bytes, crossed_bytes(g.totals)) for g in groups if g.key[0]][:MOST_BARS]
    if not drawn or not bars:
        return Section("types", "By content type", [figures])
    told = "; ".join(f"{name}: {size(sent)} sent, {size(link)} crossed the link" for name, sent, link in bars)
    svg = charts.before_after("types", f"Bars by content type. {told}.", bars)
    chart = f"{figure(svg, 'The largest content types')}{KEY}"
    return Section("types", "By content type", [f'<div class="two"><div>{chart}</div>{figures}</div>'])


def _modes(report: Report) -> Section:
    found = report.summary
    decided = sorted(found.by_decision, key=lambda g: -g.totals.responses)
    parts = [_grouped("By what was decided", "decision", _merged(decided), lambda g: words.decision(g.key[0]))]
    if found.by_mode:
        parts.append(_grouped("By what was sent instead of the picture", "mode", found.by_mode, lambda g: g.key[0]))
    if found.by_engine:
        parts.append(_grouped("By what drew it", "engine", found.by_engine, lambda g: g.key[0]))
    return Section("modes", "By decision and mode", parts)


def _merged(groups: Sequence[Group]) -> list[Group]:
    return list(grouped(((group.key[0],), group.totals) for group in groups))


def _not_saved(report: Report) -> Section:
    total = crossed_bytes(report.summary.totals)
    groups = [
        group for group in report.summary.by_decision
        if group.key[0] not in words.SAVING or group.totals.saved_bytes < 0
    ]  # fmt: skip
    groups.sort(key=lambda group: -crossed_bytes(group.totals))
    rows = [
        (words.why(*g.key), share(crossed_bytes(g.totals), total), size(crossed_bytes(g.totals)),
         f"{g.totals.responses:,}", g.key[1] or DASH)
        for g in groups[:MOST_ROWS]
    ]  # fmt: skip
    heads = (
        Column("what and why", WORDS), Column("of all", BAR), Column("crossed the link"), Column("responses"),
        Column("code", WORDS),
    )  # fmt: skip
    parts = [
        paragraph("Pages, scripts and videos are not Sketchwire's to change; images pass as they are when in doubt."),
        table("What crossed the link without being made smaller", heads, rows),
    ]
    return Section("unsaved", "What was not saved, and why", parts)


def _domains(report: Report) -> Section | None:
    if not report.summary.by_domain:
        return None
    note = "Sites that only few subscribers visited are added up as “other”."
    parts = [
        _grouped("By site", "site", _largest(report.summary.by_domain), lambda g: g.key[0] or "not known"),
        paragraph("All of this subscriber's: hand it to nobody else." if report.subscriber else note, True),
    ]
    return Section("domains", "By site", parts)


def _subscribers(report: Report) -> Section | None:
    if not report.subscribers:
        return None
    figures = _grouped("Those with most responses, by pseudonym", "subscriber", report.subscribers, lambda g: g.key[0])
    return Section("subscribers", "By subscriber", [figures])


def _method(report: Report) -> Section:
    lines = [
        "Saved is what the sites sent, less all that crossed the link for it: answers and requests with their headers, "
        "framing, encryption, and originals that were fetched again. The sites' own headers are not counted, so the "
        "figure is a lower bound.",
        "Link time saved is saved bytes over the link's rate: time that transfers did not take, not a person's waiting "
        "time, for pages load many things at once.",
    ]
    if report.role == UPSTREAM:
        lines.append("These are upstream's rows: what it handed to the link, counted as text, not at the socket.")
    if report.shared:
        lines.append("For sharing: subscribers and single images are left out.")
    return Section("method", "How it is counted", [paragraph(line) for line in lines])


def _largest(groups: Sequence[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: -max(group.totals.origin_bytes, crossed_bytes(group.totals)))
