"""One self-contained HTML page, and its small parts.

In: texts, cells, sections of HTML. Out: a page for light and dark screens and for paper that loads nothing and needs no
script. Refuses nothing; text is escaped by `text`, everything else is taken as HTML.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32' "
    "rx='8' fill='%230a6b4b'/%3E%3Cpath d='M7 22l6-8 5 5 7-10' "
    "fill='none' stroke='%23fff' stroke-width='3'/%3E%3C/svg%3E"
)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the HTML below it; `name` is the fragment that the contents link to."""

    name: str
    title: str
    parts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: words are set left, numbers right; a bar shows percent."""

    title: str
    kind: str = "number"


def text(value: object) -> str:
    """Escaped for HTML."""
    return html.escape(str(value))


def paragraph(words: str, soft: bool = False) -> str:
    """A paragraph of plain text."""
    return f'<p class="soft">{text(words)}</p>' if soft else f"<p>{text(words)}</p>"


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> str:
    """A table that scrolls by itself on narrow screens; the first cell of a row is its head. A cell of a bar column is
    a percentage, or None."""
    head = "".join(f'<th scope="col" class="{column.kind}">{text(column.title)}</th>' for column in columns)
    body = []
    for row in rows:
        cells = []
        for place, (column, value) in enumerate(zip(columns, row, strict=True)):
            shown = _bar(value) if column.kind == "bar" else text(value)
            if place == 0:
                cells.append(f'<th scope="row" class="{column.kind}">{shown}</th>')
            else:
                cells.append(f'<td class="{column.kind}">{shown}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="wide" role="group" aria-label="{text(caption)}" tabindex="0"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def figure(drawing: str, caption: str, figures: str = "") -> str:
    """A chart with its caption, and the figures it was drawn from for who cannot see it."""
    inside = f"<details><summary>The figures of this chart</summary>{figures}</details>" if figures else ""
    return f"<figure><figcaption>{text(caption)}</figcaption>{drawing}{inside}</figure>"


def page(
    title: str, introduction: Sequence[str], sections: Sequence[Section], footer: Sequence[str], more_style: str = ""
) -> str:
    """The whole document; `more_style` is for parts that few pages have."""
    style = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    contents = "".join(f'<li><a href="#{s.name}">{text(s.title)}</a></li>' for s in sections)
    body = "".join(
        f'<section id="{s.name}" aria-labelledby="{s.name}-h"><h2 id="{s.name}-h">{text(s.title)}</h2>'
        f"{''.join(s.parts)}</section>"
        for s in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f'<title>{text(title)}</title><link rel="icon" href="{ICON}"><style>{style}{more_style}</style></head>'
        f'<body><header>{"".join(introduction)}</header><nav aria-label="Contents"><ul>{contents}</ul></nav>'
        f"<main>{body}</main><footer>{''.join(footer)}</footer></body></html>\n"
    )


def _bar(value: object) -> str:
    if not isinstance(value, int | float):
        return "–"
    filled = min(max(float(value), 0.0), 100.0)
    sign = " less" if value < 0 else ""
    return f'<span class="fill{sign}" style="--p:{filled:.0f}%"><span>{value:.1f} %</span></span>'
