"""What each image of a page is about.

In: a page's HTML, its address and Content-Type. Out: absolute image URL → words, at most 300 characters each, the most
specific first: the image's own alternative text, its caption, then link, heading, sentence, page; and which images it
marks as logos. Refuses: to raise; a page that is too large or cannot be parsed has no words.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from proxy.pages.address import canonical_url
from proxy.pages.charset import page_text
from proxy.pages.logos import says_logo
from proxy.pages.reading import Found, Frame, Reading, read_page
from proxy.pages.words import compose

MAX_HTML_BYTES = 2 * 1024 * 1024
MAX_IMAGES = 1_000
_CLIMB = 40  # elements that are looked through for a heading, from the image outwards
_NEAR = 6  # and for a caption, a link or a sentence
_WINDOW_CHARS = 1_200
_FINDS_PER_IMAGE = 3  # the same address may stand in several places; a spacer stands in hundreds
_CHROME = frozenset(("nav", "footer", "aside"))
_CONTENT = frozenset(("article", "main", "section"))
_CARDS = frozenset(("article", "li", "a", "figure", "td"))
_SENTENCE_END = re.compile(r"[.!?](?=[\s\"”’)]|$)|[。！？]")
_LINK_LINES = 4
_LEAD_CHARS = 60  # a section's name or a date may stand above a card's image, a paragraph may not
_SENTENCE_CHARS = 12  # shorter ones are abbreviations
_SITE_NAME = re.compile(r"\s+(?:[|·•–—«»-]|::)\s+")


@dataclass(frozen=True, slots=True)
class PageImages:
    """Words for each image of a page by absolute URL without fragment; and the images that it marks as logos."""

    words: Mapping[str, str] = field(default_factory=dict)
    logos: frozenset[str] = frozenset()


def image_words(html: str | bytes, page_url: str, content_type: str = "") -> dict[str, str]:
    """Words for each image of a page by absolute URL without fragment; images nothing is said about are left out.

    The same bytes, address and Content-Type give the same words in any process. Never raises.
    """
    return dict(page_images(html, page_url, content_type).words)


def page_images(html: str | bytes, page_url: str, content_type: str = "") -> PageImages:
    """What a page says about its images. Never raises."""
    if len(html) > MAX_HTML_BYTES:
        return PageImages()
    text = page_text(html, content_type) if isinstance(html, bytes) else html
    if "<" not in text:
        return PageImages()
    try:
        reading = read_page(text)
    except Exception:  # whatever the parsers trip over, the page itself must pass
        return PageImages()
    base = canonical_url(reading.base, page_url) or page_url
    places: dict[str, list[Found]] = {}
    logos = {url for icon in reading.icons if (url := canonical_url(icon, base)) is not None}
    for found in reading.found:
        for address in found.addresses:
            url = canonical_url(address, base)
            if url is not None and (url in places or len(places) < MAX_IMAGES):
                places.setdefault(url, []).append(found)
    logos |= {url for url, finds in places.items() if any(says_logo(found, page_url) for found in finds)}
    words = {url: words for url, finds in places.items() if (words := compose(_in_order(reading, finds)))}
    return PageImages(words, frozenset(logos))


def _in_order(reading: Reading, finds: list[Found]) -> Iterator[str]:
    """The phrases of all places an image stands in, rank by rank: every caption comes before any heading."""
    in_body = [found for found in finds if not found.head]
    places = [*in_body, *(found for found in finds if found.head)][:_FINDS_PER_IMAGE]
    ranked = [list(_ranks(reading, found, bool(in_body))) for found in places]
    for same_rank in zip(*ranked, strict=True):
        for phrases in same_rank:
            yield from phrases


def _ranks(reading: Reading, found: Found, elsewhere: bool) -> Iterator[list[str]]:
    """Always five ranks: own words, caption and labels, link, surroundings, page. `elsewhere`: in the body too."""
    if found.head:
        shared = found.frame.name == "meta"  # a preloaded image is described where it stands, or not at all
        yield [reading.meta.get("og:image:alt", ""), reading.meta.get("twitter:image:alt", "")] if shared else []
        yield from ([], [], [])
        yield [] if elsewhere else [_page_title(reading), _first_sentence(_description(reading))]
        return
    near = list(found.frame.ancestors(_NEAR))
    yield [found.alt]
    caption = next((f.caption for f in near if f.caption and f.pictures <= 2), None)
    labels = [f.label for f in near[:3] if f.name not in ("body", "html", "main", "article", "section") and f.label]
    referenced = [_span(reading, reading.labelled[i]) for i in found.references if i in reading.labelled]
    yield [reading.text[slice(*caption)] if caption else "", found.title, *referenced, *labels]
    link = next((f for f in near if f.name == "a"), None)
    lines = _span(reading, link).split("\n") if link is not None and link.pictures <= 2 else []
    yield [line for line in lines if line.strip()][:_LINK_LINES]
    heading_steps, heading = _heading(reading, found)
    sentence_steps, sentence = _sentence(reading, found, caption)
    yield [sentence, heading] if sentence_steps < heading_steps else [heading, sentence]
    chrome = any(map(_is_chrome, found.frame.ancestors(_CLIMB)))
    specific = found.alt or caption or sentence
    yield [] if chrome else [_page_title(reading), "" if specific else _first_sentence(_description(reading))]


def _heading(reading: Reading, found: Found) -> tuple[int, str]:
    """The heading in the smallest box that has one, the last before the image, else the first; and how far out."""
    headings = reading.headings
    following = bisect.bisect_left(headings, (found.offset, -1))
    for steps, frame in enumerate(_up_to_chrome(found.frame, _CLIMB)):
        if following and headings[following - 1][0] >= frame.start:
            return steps, _text(reading, headings[following - 1])
        if _is_card(reading, frame, found) and following < len(headings) and headings[following][0] < frame.end:
            return steps, _text(reading, headings[following])
    return _CLIMB, ""


def _sentence(reading: Reading, found: Found, caption: tuple[int, int] | None) -> tuple[int, str]:
    """The first sentence after the image, else the last before it, in the smallest box with one; and how far out."""
    for steps, frame in enumerate(_up_to_chrome(found.frame, _NEAR)):
        for offset, line in _lines(reading, found.offset, min(frame.end, found.offset + _WINDOW_CHARS)):
            if _in_heading(reading, offset):
                if not _is_card(reading, frame, found):
                    break  # the next section is about something else
            elif not (caption and caption[0] <= offset < caption[1]) and (sentence := _first_sentence(line)):
                return steps, sentence
        for offset, line in reversed(
            list(_lines(reading, max(frame.start, found.offset - _WINDOW_CHARS), found.offset))
        ):
            if not _in_heading(reading, offset) and (sentence := _last_sentence(line)):
                return steps, sentence
    return _CLIMB, ""


def _is_card(reading: Reading, frame: Frame, found: Found) -> bool:
    """Whether a heading that follows in this box is about this image: it leads the box, which holds little else."""
    if found.background and frame is found.frame:
        return True
    if frame.name in ("body", "html", "main", "") or (frame.pictures > 2 and frame.name not in _CARDS):
        return False
    before = reading.text[frame.start : min(found.offset, frame.start + _WINDOW_CHARS)]
    return len(before.strip()) < _LEAD_CHARS


def _lines(reading: Reading, start: int, end: int) -> Iterator[tuple[int, str]]:
    offset = start
    for line in reading.text[start:end].split("\n"):
        if line.strip():
            yield offset, line
        offset += len(line) + 1


def _in_heading(reading: Reading, offset: int) -> bool:
    index = bisect.bisect_right(reading.headings, (offset, len(reading.text) + 1)) - 1
    return index >= 0 and offset < reading.headings[index][1]


def _up_to_chrome(frame: Frame, limit: int) -> Iterator[Frame]:
    """The boxes around an image; what stands outside a menu, a footer or a page's header is not about its images."""
    for box in frame.ancestors(limit):
        yield box
        if _is_chrome(box):
            return


def _is_chrome(box: Frame) -> bool:
    if box.name == "header":
        return not any(around.name in _CONTENT for around in box.ancestors(_CLIMB))
    return box.name in _CHROME


def _first_sentence(text: str) -> str:
    text = " ".join(text.split())
    ends = (found.end() for found in _SENTENCE_END.finditer(text))
    return _if_running(text[: next((end for end in ends if end >= _SENTENCE_CHARS), len(text))])


def _last_sentence(text: str) -> str:
    text = " ".join(text.split())
    ends = [found.end() for found in _SENTENCE_END.finditer(text)]
    return _if_running(text[max((end for end in ends if end <= len(text) - _SENTENCE_CHARS), default=0) :].strip())


def _if_running(text: str) -> str:
    """Running text only: at least four words, or ten characters of a script that has no spaces."""
    words = sum(any(c.isalpha() for c in word) for word in text.split(" ", 12)[:12])
    return text if words >= 4 or (len(text) >= 10 and not any(c.isascii() and c.isalpha() for c in text)) else ""


def _page_title(reading: Reading) -> str:
    """The page's title without the site's name, which stands before or behind it."""
    title = reading.meta.get("og:title") or reading.title
    site = reading.meta.get("og:site_name", "").casefold()
    parts = [part for part in _SITE_NAME.split(title) if part.casefold() != site]
    return max(parts, key=len, default="")


def _description(reading: Reading) -> str:
    return reading.meta.get("og:description") or reading.meta.get("description", "")


def _span(reading: Reading, frame: Frame) -> str:
    return _text(reading, (frame.start, frame.end))


def _text(reading: Reading, span: tuple[int, int]) -> str:
    return reading.text[span[0] : min(span[1], span[0] + _WINDOW_CHARS)]
