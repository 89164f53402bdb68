"""The dashboard's page, made on the server.

In: what is told, and which proxy tells it. Out: an HTML document that shows everything without a script. Refuses
nothing; every text is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from proxy.admin.telling import HEIGHT, Cells, Told
from proxy.report.page import ICON

AGAIN_S = 10  # without a script the page loads itself again
_FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Sketchwire {role}</title><link rel="icon" href="{icon}"><link rel="stylesheet" href="/dashboard.css">
<noscript><meta http-equiv="refresh" content="{again}"></noscript><script src="/dashboard.js" defer></script></head>
<body><header><h1>Sketchwire, {role}</h1><span id="state" role="status">as of {clock} UTC</span></header><main>
<section class="wide" aria-labelledby="h-saved"><h2 id="h-saved">Saved since the start, <span id="up">{up}</span></h2>
<p class="saved"><strong id="saved">{saved}</strong><span><span id="bytes">{bytes}</span><br>
<small>across the link, headers and refetches charged</small></span></p></section>
{tiles}
<section class="wide" aria-labelledby="h-hour"><h2 id="h-hour">The last hour</h2>
<svg viewBox="0 0 300 {height}" preserveAspectRatio="none" role="img" aria-labelledby="hour-sent">
<path id="before" d="{before}"/><path id="after" d="{after}"/></svg>
<p class="soft" id="hour-sent">{hour_sent}</p></section>
{tables}
</main><footer>{version} · <a href="/metrics">metrics</a></footer></body></html>
"""


def page(told: Told, role: str, version: str, clock: str) -> bytes:
    """The document. `clock` is the time it was made."""
    tiles = "".join(
        _tile(told, title, name, note)
        for title, name, note in (
            ("Answers in the last minute", "minute", "minute-bytes"),
            ("Saved in the last hour", "hour", "hour-bytes"),
            ("Saved in the last day", "day", "day-bytes"),
            ("Failures in the last hour", "failures", "failures-all"),
        )
    )
    tables = (
        _table(told, "parts", "Parts", ("part", "state"))
        + _table(told, "decided", "Decisions since the start", ("decision", "answers"))
        + _table(told, "failed", "Failures since the start", ("what", "times"))
        + _table(told, "recent", "The latest answers", ("decision", "type", "sent", "link"), wide=True)
    )
    texts = {name.replace("-", "_"): html.escape(value) for name, value in told.items() if isinstance(value, str)}
    head = {"role": html.escape(role), "version": html.escape(version), "clock": html.escape(clock), "icon": ICON}
    return _FRAME.format(tiles=tiles, tables=tables, again=AGAIN_S, height=HEIGHT, **head, **texts).encode()


def _tile(told: Told, title: str, name: str, note: str) -> str:
    return (
        f'<section class="tile"><h2>{title}</h2><b id="{name}">{html.escape(str(told[name]))}</b>'
        f'<small id="{note}">{html.escape(str(told[note]))}</small></section>\n'
    )


def _table(told: Told, name: str, title: str, heads: Sequence[str], *, wide: bool = False) -> str:
    cells = told[name]
    assert isinstance(cells, list)
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in heads)
    kind = ' class="wide"' if wide else ""
    return (
        f'<section{kind} aria-labelledby="h-{name}"><h2 id="h-{name}">{html.escape(title)}</h2><table>'
        f'<thead><tr>{head}</tr></thead><tbody id="{name}">{_rows(cells)}</tbody></table></section>\n'
    )


def _rows(cells: Cells) -> str:
    return "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>{"".join(f"<td>{html.escape(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in cells
    )
