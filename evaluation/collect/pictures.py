"""What a page says about its images: words, alternative text, caption, displayed size, licence; and where it leads.

In: a page's HTML, its address and headers. Out: `PageRead`. Refuses: pages that ask not to be used so (robots meta tag,
X-Robots-Tag, the TDM reservation protocol), with the reason; what cannot be parsed has no images.

`words` are what the proxies would use as the prompt (`proxy.pages`); the rest is context for people. Licences are
those that are stated: rel="license" in the image's figure, schema.org's ImageObject, then of the whole page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import bs4

from evaluation.collect.gate import Stay
from proxy.pages import MAX_HTML_BYTES, canonical_url, image_words
from proxy.pages.charset import page_text

MAX_PICTURES = 400
MAX_LINKS = 500
_RESERVED = frozenset(("noindex", "none", "noimageindex", "noai", "noimageai"))
_NOT_PAGES = re.compile(
    r"\.(?:jpe?g|png|gif|webp|avif|svg|pdf|zip|gz|mp[34]|webm|css|js|xml|json|rss|ico|woff2?|ttf)$", re.IGNORECASE
)
_LAZY = ("data-src", "data-original", "data-lazy-src", "data-lazy")
_LINK_LICENCE = re.compile(r"<([^>]*)>[^,]*?;\s*rel\s*=\s*\"?[^\",;]*\blicense\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a page. `displayed_px` is (width, height) in CSS pixels, from the layout or else the markup."""

    url: str
    words: str = ""
    alt: str = ""
    caption: str = ""
    displayed_px: tuple[int, int] | None = None
    licence: str = ""
    licence_of: str = ""


@dataclass(frozen=True, slots=True)
class PageRead:
    """A page's images, each once, in the page's order, and the pages of the same host that it links to."""

    title: str
    pictures: tuple[Picture, ...]
    links: tuple[str, ...]


def read(html: bytes, url: str, headers: Mapping[str, str]) -> PageRead | Stay:
    """`headers` have names in lower case. Never raises on bad markup."""
    if reserved(headers):
        return Stay("its headers reserve it")
    if len(html) > MAX_HTML_BYTES:
        return Stay(f"over {MAX_HTML_BYTES} bytes")
    content_type = headers.get("content-type", "")
    text = page_text(html, content_type)
    if "<" not in text:
        return PageRead("", (), ())
    try:
        soup = bs4.BeautifulSoup(text, "lxml")
    except Exception as error:  # parsers raise many types on hostile markup
        return Stay(f"cannot be parsed: {type(error).__name__}")
    if any(_words(meta, "content") & _RESERVED for meta in soup.find_all("meta", attrs={"name": "robots"})):
        return Stay("its robots meta tag reserves it")
    base_tag = soup.find("base", href=True)
    base = canonical_url(_value(base_tag, "href"), url) or url if isinstance(base_tag, bs4.Tag) else url
    words, stated = image_words(html, url, content_type), dict(_image_objects(soup, base))
    of_page = _page_licence(soup, base, headers)
    found: dict[str, Picture] = {}
    for tag in soup.find_all("img", limit=MAX_PICTURES):
        address = canonical_url(_address(tag), base)
        if address is None or address in found:
            continue
        caption, own = _figure(tag, base)
        own = own or stated.get(address, "")
        licence, scope = (own, "image") if own else (of_page, "page" if of_page else "")
        alt = " ".join(_value(tag, "alt").split())
        found[address] = Picture(address, words.get(address, ""), alt, caption, _declared(tag), licence, scope)
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    return PageRead(title, tuple(found.values()), tuple(dict.fromkeys(_links(soup, url, base))))


def reserved(headers: Mapping[str, str]) -> bool:
    """Whether an answer's headers ask that it be left out of sets like this."""
    named = {word.strip().lower() for word in re.split(r"[,:;]", headers.get("x-robots-tag", ""))}
    return bool(named & _RESERVED) or headers.get("tdm-reservation", "").strip() == "1"


def displayed(page: PageRead, layout: Mapping[str, tuple[int, int]]) -> PageRead:
    """Only the images that a browser laid out, at the sizes at which it did."""
    shown = tuple(replace(p, displayed_px=layout[p.url]) for p in page.pictures if p.url in layout)
    return replace(page, pictures=shown)


def _address(tag: bs4.Tag) -> str:
    """What a browser would load at a density of 1: `src`, its lazy forms, else the largest of `srcset`."""
    source = _value(tag, "src")
    if not source or source.startswith("data:"):
        source = next((value for name in _LAZY if (value := _value(tag, name))), source)
    if source and not source.startswith("data:"):
        return source
    candidates = [part.split() for part in re.split(r",\s+", _value(tag, "srcset") or _value(tag, "data-srcset"))]
    sized = [
        (float(c[1][:-1]) if len(c) > 1 and re.fullmatch(r"[\d.]+[wx]", c[1]) else 1.0, c[0]) for c in candidates if c
    ]
    return max(sized)[1] if sized else source


def _figure(tag: bs4.Tag, base: str) -> tuple[str, str]:
    """(caption, licence) of the figure around an image."""
    figure = tag.find_parent("figure")
    if not isinstance(figure, bs4.Tag):
        return "", ""
    caption = figure.find("figcaption")
    words = " ".join(caption.get_text(" ").split()) if caption is not None else ""
    return words, next(_licences(figure, base), "")


def _declared(tag: bs4.Tag) -> tuple[int, int] | None:
    sides = [re.fullmatch(r"\s*(\d{1,5})(?:px)?\s*", _value(tag, name)) for name in ("width", "height")]
    return (int(sides[0][1]), int(sides[1][1])) if sides[0] and sides[1] else None


def _licences(box: bs4.Tag, base: str) -> Iterator[str]:
    for link in box.find_all(["a", "link"], href=True):
        if "license" in _words(link, "rel"):
            yield canonical_url(_value(link, "href"), base) or ""


def _page_licence(soup: bs4.BeautifulSoup, base: str, headers: Mapping[str, str]) -> str:
    """Of the page as a whole: a licence inside a figure is that figure's alone."""
    for link in soup.find_all(["a", "link"], href=True):
        if "license" in _words(link, "rel") and link.find_parent("figure") is None:
            return canonical_url(_value(link, "href"), base) or ""
    header = _LINK_LICENCE.search(headers.get("link", ""))
    return (canonical_url(header[1], base) or "") if header else ""


def _image_objects(soup: bs4.BeautifulSoup, base: str) -> Iterator[tuple[str, str]]:
    """(image, licence) of schema.org's ImageObjects in JSON-LD."""
    for script in soup.find_all("script", type="application/ld+json", limit=20):
        try:
            document = json.loads(script.get_text())
        except (ValueError, RecursionError):
            continue
        for thing in _things(document):
            address = canonical_url(str(thing.get("contentUrl") or thing.get("url") or ""), base)
            if address and thing.get("@type") == "ImageObject" and isinstance(thing.get("license"), str):
                yield address, canonical_url(thing["license"], base) or ""


def _things(document: Any) -> Iterator[Mapping[str, Any]]:
    waiting = [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _links(soup: bs4.BeautifulSoup, url: str, base: str) -> Iterator[str]:
    here = urlsplit(url)
    for link in soup.find_all("a", href=True, limit=MAX_LINKS):
        address = canonical_url(_value(link, "href"), base)
        if address is None or address == url or "nofollow" in _words(link, "rel"):
            continue
        parts = urlsplit(address)
        if (parts.scheme, parts.netloc) == (here.scheme, here.netloc) and not _NOT_PAGES.search(parts.path):
            yield address


def _value(tag: bs4.Tag, name: str) -> str:
    value = tag.attrs.get(name)
    if value is None:
        return ""
    return (value if isinstance(value, str) else " ".join(value)).strip()


def _words(tag: bs4.Tag, name: str) -> set[str]:
    return set(re.split(r"[\s,]+", _value(tag, name).lower()))
