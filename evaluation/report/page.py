"""One self-contained HTML page.

In: a title, paragraphs, sections of HTML. Out: a page for light and dark screens that loads nothing. Refuses nothing;
text is escaped by `text`, everything else is taken as HTML.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_STYLE = """
:root{color-scheme:light dark;--paper:#fdfdfb;--ink:#1c2024;--soft:#5b636b;--line:#d9dcdf;--tint:#f1f3f2;--c0:#0b6bcb;
--c1:#c2410c;--c2:#15803d;--c3:#7e3ab8;--c4:#a16207;--c5:#0e7490;--accent:#0b6bcb}
@media (prefers-color-scheme:dark){:root{--paper:#14171a;--ink:#e7eaec;--soft:#9aa4ad;--line:#333a40;--tint:#1c2125;
--c0:#6cb6ff;--c1:#ff9f6b;--c2:#6fd08c;--c3:#cf9dff;--c4:#e3c15c;--c5:#5fd0e0;--accent:#6cb6ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:68rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .5rem}h2{font-size:1.25rem;margin:2.75rem 0 .5rem}
p{max-width:46rem;margin:.5rem 0}.soft,figcaption,footer{color:var(--soft);font-size:.875rem}
nav{margin:1rem 0;font-size:.9rem}nav a{margin-right:1rem}a{color:var(--accent)}
.wide{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding-bottom:.4rem}
th,td{padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child,td.words,th.words{text-align:left}td.words{white-space:normal;min-width:14rem}
th{font-weight:600;vertical-align:bottom;white-space:normal}
td small{color:var(--soft);font-size:.8em}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:1rem}
figure{margin:0}.charts figure{max-width:34rem}figure svg{width:100%;height:auto;display:block}
ul{max-width:46rem;padding-left:1.2rem}li{margin:.2rem 0}
.sheet{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:1rem;margin:.75rem 0 1.5rem}
.pair{position:relative;background:var(--tint);line-height:0;overflow:hidden}
.pair img{width:100%;height:auto}.pair .over{position:absolute;inset:0;clip-path:inset(0 calc(100% - var(--at)) 0 0)}
.pair::after{content:"";position:absolute;top:0;bottom:0;left:var(--at);width:1px;background:#fff;
box-shadow:0 0 0 1px #0008}
.pair{--at:50%}input[type=range]{width:100%;margin:.3rem 0 0;accent-color:var(--accent)}
figcaption b{color:var(--ink);font-weight:600}
"""
_SCRIPT = (
    "document.addEventListener('input',e=>{if(e.target.type==='range')"
    "e.target.previousElementSibling.style.setProperty('--at',e.target.value+'%')})"
)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the HTML below it; `name` is the fragment that the contents link to."""

    name: str
    title: str
    parts: Sequence[str]


def text(value: object) -> str:
    """Escaped for HTML."""
    return html.escape(str(value))


def paragraph(words: str, soft: bool = False) -> str:
    """A paragraph of plain text."""
    return f'<p class="soft">{text(words)}</p>' if soft else f"<p>{text(words)}</p>"


def listing(lines: Iterable[str]) -> str:
    """Plain lines as a list."""
    return f"<ul>{''.join(f'<li>{text(line)}</li>' for line in lines)}</ul>"


def page(title: str, introduction: Sequence[str], sections: Sequence[Section], footer: str) -> str:
    """The whole document."""
    contents = "".join(f'<a href="#{s.name}">{text(s.title)}</a>' for s in sections)
    body = "".join(f'<section id="{s.name}"><h2>{text(s.title)}</h2>{"".join(s.parts)}</section>' for s in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{text(title)}</title><style>{_STYLE}</style></head><body><main><h1>{text(title)}</h1>"
        f"{''.join(introduction)}<nav>{contents}</nav>{body}<footer><p>{text(footer)}</p></footer></main>"
        f"<script>{_SCRIPT}</script></body></html>\n"
    )
