"""A folder with a page that shows each image before and after, under a slider.

In: results, their originals, screenshots if there are any. Out: `index.html` and image files; nothing is loaded from
anywhere else, so the folder can be copied and opened from disk. Refuses: nothing.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from proxy.demo.browser import Screenshots
from proxy.demo.results import ImageResult, Totals
from proxy.demo.site import DemoSite
from proxy.demo.table import outcome, percent, size


def write_gallery(
    folder: Path, site: DemoSite, results: Sequence[ImageResult], sums: Totals, screenshots: Sequence[Screenshots] = ()
) -> Path:
    """Write the gallery and return the path of its page. Raises OSError."""
    for name in ("original", "delivered"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    drawn: list[str] = []
    kept: list[str] = []
    for result in results:
        original = f"original/{result.image.path.rpartition('/')[2]}"
        (folder / original).write_bytes(site.file(result.image.path).read_bytes())
        delivered = ""
        if result.body and not result.unchanged:
            delivered = f"delivered/{result.image.name}{_extension(result.media_type)}"
            (folder / delivered).write_bytes(result.body)
        (drawn if result.drawn else kept).append(_item(result, original, delivered))
    pages = [
        _page(shot.title, shot.before.relative_to(folder).as_posix(), shot.after.relative_to(folder).as_posix())
        for shot in screenshots
        if shot.before.is_relative_to(folder) and shot.after.is_relative_to(folder)
    ]
    page = folder / "index.html"
    page.write_text(_document(sums, drawn, kept, pages), encoding="utf-8")
    return page


def _document(sums: Totals, drawn: list[str], kept: list[str], pages: list[str]) -> str:
    style, script = (
        files("proxy.demo").joinpath(name).read_text(encoding="utf-8") for name in ("gallery.css", "gallery.js")
    )
    engine = f" by the {escape(sums.engine.partition('@')[0])} engine" if sums.engine else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sketchwire: before and after</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<main>
<h1>Before and after the link</h1>
<p class="lead">On the left of each picture is what the web site sent, on the right what the browser was given. Drag the
line, or use the arrow keys. Bytes are those that crossed the link between the two proxies, heads included.</p>
<ul class="figures">
{_figure(percent(sums.eligible_saved_percent), f"saved on {sums.eligible} photographs", "good")}
{_figure(size(sums.eligible_origin_bytes), "sent by the site for the photographs")}
{_figure(size(sums.eligible_link_bytes), "crossed the link for them")}
{_figure(percent(sums.saved_percent), f"saved on all {sums.images} images")}
{_figure(str(sums.broken), "broken or wrongly drawn", "bad" if sums.broken else "good")}
</ul>
{_section(f"Drawn again{engine}", drawn)}
{_section("Passed with their own pixels", kept)}
{_section("Whole pages", pages, "grid wide")}
<footer>Photographs and their terms are listed on the newspaper's own page “About”.</footer>
</main>
<script>
{script}</script>
</body>
</html>
"""


def _figure(value: str, what: str, kind: str = "") -> str:
    return f'<li class="{kind}"><strong>{escape(value)}</strong><span>{escape(what)}</span></li>'


def _section(title: str, items: list[str], classes: str = "grid") -> str:
    if not items:
        return ""
    return f'<section><h2>{title}</h2><div class="{classes}">\n{chr(10).join(items)}\n</div></section>'


def _item(result: ImageResult, original: str, delivered: str) -> str:
    image = result.image
    left = max(0.0, min(100.0, 100.0 - result.saved_percent))
    timing = [f"{result.elapsed_ms:.0f} ms in all"]
    timing += [f"{result.encode_ms:.0f} ms to encode"] if result.encode_ms else []
    timing += [f"{result.reconstruct_ms:.0f} ms to draw"] if result.reconstruct_ms else []
    saved = f"<b>{percent(result.saved_percent)} saved</b>" if result.saved_percent > 0 else ""
    problem = ' class="problem"' if result.problem else ""
    return f"""<figure class="item{" broken" if result.problem else ""}">
{_compare(original, delivered, image.alt, image.width_px, image.height_px)}
<figcaption class="about"><h3>{escape(image.name)}</h3>
<div class="bytes"><span>{size(image.size_bytes)} → {size(result.link_bytes)}</span>
{saved}</div>
<div class="bar"><i style="width:{left:.2f}%"></i></div>
<p{problem}>{escape(outcome(result))}</p>
<p>{image.width_px}×{image.height_px}, {", ".join(timing)}</p>
<p>{escape(image.credit)}; {escape(image.licence)}</p></figcaption></figure>"""


def _page(title: str, before: str, after: str) -> str:
    about = f'<figcaption class="about"><h3>{escape(title)}</h3></figcaption>'
    return f'<figure class="item">\n{_compare(before, after, title)}\n{about}</figure>'


def _compare(original: str, delivered: str, alt: str, width_px: int = 0, height_px: int = 0) -> str:
    box = f' width="{width_px}" height="{height_px}"' if width_px else ""
    before = f'<img src="{escape(original)}"{box} alt="{escape(alt)}">'
    if not delivered:
        return f'<div class="compare single">{before}</div>'
    after = f'<img class="delivered" src="{escape(delivered)}"{box} alt="">'
    slider = f'<input type="range" min="0" max="100" value="50" aria-label="Original or delivered: {escape(alt)}">'
    tags = '<span class="tag left">original</span><span class="tag right">delivered</span>'
    return f'<div class="compare">{before}{after}{tags}{slider}</div>'


def _extension(media_type: str) -> str:
    return (
        {"image/webp": ".webp", "image/avif": ".avif"}.get(media_type)
        or mimetypes.guess_extension(media_type)
        or ".bin"
    )
