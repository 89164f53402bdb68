"""One walk through a page's markup: its running text, and where in it each image stands.

In: decoded HTML. Out: `Reading`. Refuses: nothing; what is over the limits is left out, and every limit counts
structure (tags, pictures, steps up the tree), so that hostile markup costs linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import bs4
from bs4.element import NavigableString, PreformattedString

from proxy.pages.address import css_addresses, srcset_addresses

MAX_TAGS = 30_000  # parsing takes about 20 µs a tag; Wikipedia's longest articles have about this many
MAX_PICTURES = 400
MAX_CANDIDATES = 12  # addresses taken from one srcset or style attribute
MAX_STYLE_CHARS = 256 * 1024
MAX_MARK_CHARS = 300
MAX_ICONS = 20
HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
SILENT = frozenset(("script", "style", "noscript", "template", "textarea", "select", "iframe", "svg", "object"))
INLINE = frozenset(
    (
        "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "dfn", "em", "font", "i", "img", "kbd", "label",
        "mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var",
    )
)  # fmt: skip
_SRCSETS = ("srcset", "data-srcset", "data-lazy-srcset", "imagesrcset")
_LAZY = (
    "data-src", "data-original", "data-lazy-src", "data-lazy", "data-original-src", "data-image", "data-img-src",
    "data-large-file", "data-orig-file", "data-full-src", "data-bg", "data-background", "data-background-image",
)  # fmt: skip
_META_IMAGES = ("og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src", "thumbnail")
_XML_DECLARATION = re.compile(
    r"<\?xml[^>]{0,400}>?", re.IGNORECASE
)  # names an encoding that is no longer true of decoded text
_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif")


@dataclass(slots=True)
class Frame:
    """An element that was walked through; its text is `Reading.text[start:end]`."""

    name: str
    parent: Frame | None
    start: int
    end: int = 0
    pictures: int = 0
    label: str = ""
    marks: str = ""  # class and id
    href: str = ""
    caption: tuple[int, int] | None = None

    def ancestors(self, limit: int) -> Iterator[Frame]:
        """This element and those around it, innermost first, at most `limit`."""
        frame: Frame | None = self
        for _ in range(limit):
            if frame is None:
                return
            yield frame
            frame = frame.parent


@dataclass(slots=True)
class Found:
    """One place where markup names an image: its addresses as written, and what the element itself says."""

    addresses: tuple[str, ...]
    frame: Frame
    offset: int
    alt: str = ""
    title: str = ""
    references: tuple[str, ...] = ()
    background: bool = False
    head: bool = False


@dataclass(slots=True)
class Reading:
    """A page, read: `text` has "\\n" between blocks; `headings` are spans of it in order; `icons` are the addresses of
    the page's own icons.
    """

    text: str = ""
    headings: list[tuple[int, int]] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    labelled: dict[str, Frame] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)
    icons: list[str] = field(default_factory=list)
    title: str = ""
    base: str = ""


def read_page(html: str) -> Reading:
    """Parse and walk `html`; only its first MAX_TAGS tags count."""
    return _Walk().run(bs4.BeautifulSoup(_XML_DECLARATION.sub("", _first_tags(html)), "lxml"))


def _first_tags(html: str) -> str:
    """What MAX_TAGS "<" leave of a page; NUL ends libxml2's input, and lone surrogates have no UTF-8."""
    position = -1
    for _ in range(MAX_TAGS + 1):
        position = html.find("<", position + 1)
        if position < 0:
            break
    kept = html if position < 0 else html[:position]
    return kept.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class _Walk:
    """The state of one walk: the text so far, and the styles whose element is still to come."""

    def __init__(self) -> None:
        self.reading = Reading()
        self.pieces: list[str] = []
        self.length = 0
        self.selected: dict[str, list[str]] = {}  # ".class" or "#id" → background addresses of <style> blocks

    def run(self, soup: bs4.BeautifulSoup) -> Reading:
        self._read_styles(soup)
        root = Frame("", None, 0)
        frames = [root]
        stack: list[Iterator[object]] = [iter(soup.contents)]
        while stack:
            node = next(stack[-1], None)
            if node is None:
                stack.pop()
                self._leave(frames.pop())
            elif isinstance(node, bs4.Tag):
                frames.append(self._enter(node, frames[-1]))
                stack.append(iter(node.contents if node.name not in ("script", "style", "svg") else ()))
            elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
                self._say(str(node), frames[-1])
        self.reading.text = "".join(self.pieces)
        return self.reading

    def _say(self, text: str, frame: Frame) -> None:
        if frame.name == "title" and not self.reading.title:
            self.reading.title = text[:1000]
        elif frame.name not in SILENT and frame.name != "title":
            self._append(text.replace("\n", " "))

    def _append(self, text: str) -> None:
        self.pieces.append(text)
        self.length += len(text)

    def _enter(self, tag: bs4.Tag, parent: Frame) -> Frame:
        if tag.name not in INLINE:
            self._append("\n")
        frame = Frame(tag.name, parent, self.length)
        if tag.attrs:
            frame.label = _attribute(tag, "aria-label") or _attribute(tag, "title")
            identity = _attribute(tag, "id")
            frame.marks = f"{_attribute(tag, 'class')} {identity}"[:MAX_MARK_CHARS].strip()
            frame.href = _attribute(tag, "href") if tag.name == "a" else ""
            if identity:
                self.reading.labelled.setdefault(identity, frame)
            self._find(tag, frame)
            if tag.name == "figcaption" or _is_caption(tag):
                frame.caption = (self.length, self.length)
        elif tag.name == "figcaption":
            frame.caption = (self.length, self.length)
        return frame

    def _leave(self, frame: Frame) -> None:
        frame.end = self.length
        if frame.name in HEADINGS and frame.end > frame.start:
            self.reading.headings.append((frame.start, frame.end))
        if frame.name not in INLINE:
            self._append("\n")
        parent = frame.parent
        if parent is None:
            return
        parent.pictures += frame.pictures
        if frame.caption == (frame.start, frame.start):  # a caption itself: it speaks for the boxes around it
            frame.caption = None
            for around in parent.ancestors(3):
                if around.caption is None and around.name not in ("body", "html", "main"):
                    around.caption = (frame.start, frame.end)

    def _found(self, tag: bs4.Tag, frame: Frame, addresses: list[str], background: bool = False) -> None:
        if not addresses or len(self.reading.found) >= MAX_PICTURES:
            return
        alt, title = _attribute(tag, "alt"), _attribute(tag, "title")
        references = f"{_attribute(tag, 'aria-labelledby')} {_attribute(tag, 'aria-describedby')}".split()[:4]
        self.reading.found.append(
            Found(tuple(dict.fromkeys(addresses)), frame, self.length, alt, title, tuple(references), background)
        )
        if tag.name not in ("source", "a"):
            frame.pictures += 1

    def _find(self, tag: bs4.Tag, frame: Frame) -> None:
        name = tag.name
        if name in ("meta", "base", "link"):
            self._find_in_head(tag, frame)
            return
        lazy = [value for key in _LAZY if (value := _attribute(tag, key)) and not value.startswith(("{", "["))]
        sets = [a for key in _SRCSETS for a in srcset_addresses(_attribute(tag, key), MAX_CANDIDATES)]
        if name in ("img", "image", "amp-img") or (name == "input" and _attribute(tag, "type").lower() == "image"):
            sources = [_attribute(tag, key) for key in ("src", "href", "xlink:href")]
            self._found(tag, frame, [a for a in (*lazy, *sources, *sets) if a])
        elif name == "source":
            in_picture = frame.parent is not None and frame.parent.name == "picture"
            self._found(tag, frame, [*lazy, *sets] if in_picture or sets else [])
        elif name in SILENT:
            return
        elif name == "video":
            self._found(tag, frame, [a for a in (_attribute(tag, "poster"), _attribute(tag, "data-poster")) if a])
        else:
            style = _attribute(tag, "style")[:MAX_STYLE_CHARS]
            painted = [address for _, address in css_addresses(style, MAX_CANDIDATES)]
            for token in (f"#{_attribute(tag, 'id')}", *(f".{c}" for c in _classes(tag))) if self.selected else ():
                painted += self.selected.pop(token, ())
            old = _attribute(tag, "background")
            addresses = [a for value in lazy for a in (next(css_addresses(value, 1), (0, value))[1],)]
            self._found(tag, frame, [*painted, *addresses, *([old] if old else [])], background=True)
            href = _attribute(tag, "href") if name == "a" else ""
            if href.split("?")[0].lower().endswith(_IMAGE_ENDINGS):  # a gallery's link to the large picture
                self._found(tag, frame, [href])

    def _find_in_head(self, tag: bs4.Tag, frame: Frame) -> None:
        if tag.name == "base":
            self.reading.base = self.reading.base or _attribute(tag, "href")
        elif tag.name == "meta":
            key = (_attribute(tag, "property") or _attribute(tag, "name") or _attribute(tag, "itemprop")).lower()
            value = _attribute(tag, "content")[:2000]
            if key in _META_IMAGES:
                self._found(tag, frame, [value] if value else [])
            elif key and len(self.reading.meta) < 200:
                self.reading.meta.setdefault(key, value)
        elif "icon" in _attribute(tag, "rel").lower():
            if len(self.reading.icons) < MAX_ICONS and (href := _attribute(tag, "href")):
                self.reading.icons.append(href)
        elif _attribute(tag, "as").lower() == "image" or "image_src" in _attribute(tag, "rel").lower():
            sets = list(srcset_addresses(_attribute(tag, "imagesrcset"), MAX_CANDIDATES))
            self._found(tag, frame, [a for a in (_attribute(tag, "href"), *sets) if a])
        if self.reading.found and self.reading.found[-1].frame is frame:
            self.reading.found[-1].head = True

    def _read_styles(self, soup: bs4.BeautifulSoup) -> None:
        """Backgrounds of <style> blocks, by the last class or id of their selector."""
        budget = MAX_STYLE_CHARS
        for style in soup.find_all("style", limit=50):
            css = "".join(str(c) for c in style.contents)[:budget]
            budget -= len(css)
            for offset, address in css_addresses(css, MAX_PICTURES):
                opening = css.rfind("{", max(0, offset - 4000), offset)
                before = max(css.rfind(c, max(0, opening - 400), max(opening, 0)) for c in "{}/;")
                selector = css[before + 1 : opening].split(",")[0].split("::")[0].split(":")[0]
                mark = max(selector.rfind("."), selector.rfind("#"))
                if opening >= 0 and mark >= 0:
                    self.selected.setdefault(selector[mark:].strip(), []).append(address)


def _attribute(tag: bs4.Tag, name: str) -> str:
    value = tag.attrs.get(name)
    if value is None:
        return ""
    return value if isinstance(value, str) else " ".join(value)


def _classes(tag: bs4.Tag) -> list[str]:
    return _attribute(tag, "class")[:1000].split()[:20]


def _is_caption(tag: bs4.Tag) -> bool:
    """A caption outside <figure>; WordPress' `wp-caption` is the box around image and caption, not the caption."""
    named = any("caption" in c and c not in ("wp-caption", "has-caption") for c in map(str.lower, _classes(tag)))
    return named and tag.name in ("p", "div", "span", "dd", "small", "em", "cite")
