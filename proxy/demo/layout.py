"""The newspaper's pages as HTML.

In: articles, and the images that are there. Out: HTML documents. Refuses: to show an image that is not there: its
figure, or the photograph of its teaser, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Protocol

from proxy.demo.articles import Article

NEWSPAPER = "The Tidewater Post"
HERO = ("macaws", "pagoda", "deep-field")  # the first that is there


class Shown(Protocol):
    """What the layout needs to know about an image."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def width_px(self) -> int: ...
    @property
    def height_px(self) -> int: ...
    @property
    def alt(self) -> str: ...
    @property
    def caption(self) -> str: ...
    @property
    def credit(self) -> str: ...
    @property
    def licence(self) -> str: ...


def front_page(articles: Sequence[Article], images: Mapping[str, Shown]) -> str:
    """The first article whose story has the hero's picture on top, a card for each of the others."""
    hero = next(name for name in HERO if name in images)
    top = next(article for article in articles if f"[image {hero}]" in article.text)
    picture = images[hero]
    teasers = "\n".join(_card(a, images.get(a.lead)) for a in articles if a is not top and a.lead)
    painted = f"background-image:url('{picture.path}')"
    body = f"""<div class="hero" role="img" aria-label="{escape(picture.alt)}" style="{painted}">
<div><span class="kicker">{escape(top.section)}</span><h1><a href="/{top.name}.html">{escape(top.title)}</a></h1>
<p>{escape(top.summary)}</p></div></div>
<ul class="cards">
{teasers}
</ul>"""
    return _document(NEWSPAPER, "All the news that washes ashore.", picture, "index", articles, body, images)


def article_page(article: Article, articles: Sequence[Article], images: Mapping[str, Shown]) -> str:
    """One article with its figures; the credits page ends with a table of all images."""
    blocks = [_block(block.strip(), images) for block in article.text.strip().split("\n\n")]
    table = _credits(images) if article.name == "credits" else ""
    body = f"""<article><span class="kicker">{escape(article.section)}</span>
<h1>{escape(article.title)}</h1>
<p class="summary">{escape(article.summary)}</p>
{chr(10).join(filter(None, blocks))}
{table}</article>"""
    title, lead = f"{article.title} | {NEWSPAPER}", images.get(article.lead)
    return _document(title, article.summary, lead, article.name, articles, body, images)


def _block(block: str, images: Mapping[str, Shown]) -> str:
    if block.startswith("## "):
        return f"<h2>{escape(block[3:])}</h2>"
    if block.startswith("[image "):
        image = images.get(block[7:-1])
        return _figure(image) if image is not None else ""
    return f"<p>{escape(' '.join(block.split()))}</p>"


def _figure(image: Shown) -> str:
    drawing = "" if image.kind in ("photo", "text") else ' class="drawing"'
    credit = f" <small>Photograph: {escape(image.credit)}</small>" if image.kind == "photo" else ""
    return f"<figure{drawing}>{_img(image)}\n<figcaption>{escape(image.caption)}{credit}</figcaption></figure>"


def _card(article: Article, image: Shown | None) -> str:
    picture = _img(image) if image is not None else ""
    return f"""<li class="card"><a href="/{article.name}.html">{picture}
<div><span class="kicker">{escape(article.section)}</span><h2>{escape(article.title)}</h2>
<p>{escape(article.summary)}</p></div></a></li>"""


def _img(image: Shown) -> str:
    size = f'width="{image.width_px}" height="{image.height_px}"'
    return f'<img src="{image.path}" {size} alt="{escape(image.alt)}">'


def _credits(images: Mapping[str, Shown]) -> str:
    rows = "\n".join(
        f"<tr><td>{_img(image)}</td><td>{escape(image.caption)}</td><td>{escape(image.credit)}</td>"
        f"<td>{escape(image.licence)}</td></tr>"
        for image in images.values()
    )
    head = "<tr><th>Picture</th><th>What it shows</th><th>By</th><th>Terms</th></tr>"
    return f'<h2>Pictures</h2>\n<table class="credits"><thead>{head}</thead><tbody>\n{rows}\n</tbody></table>\n'


def _document(
    title: str,
    description: str,
    shared: Shown | None,
    current: str,
    articles: Sequence[Article],
    body: str,
    images: Mapping[str, Shown],
) -> str:
    items = [("index", "Front page"), *((a.name, a.section) for a in articles)]
    links = "".join(
        f'<li><a href="/{name}.html"{" aria-current=page" if name == current else ""}>{escape(label)}</a></li>'
        for name, label in items
    )
    og_image = f'\n<meta property="og:image" content="{shared.path}">' if shared is not None else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<meta name="description" content="{escape(description)}">
<meta property="og:site_name" content="{NEWSPAPER}">{og_image}
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/site.css">
</head>
<body>
<header class="masthead"><div class="wrap"><a href="/index.html">{_img(images["masthead"])}</a></div></header>
<nav class="sections" aria-label="Sections"><div class="wrap"><ul>{links}</ul></div></nav>
<main class="wrap">
{body}
</main>
<footer><div class="wrap">{NEWSPAPER} is a demonstration.
<a href="/credits.html">Pictures and their makers</a></div></footer>
</body>
</html>
"""
