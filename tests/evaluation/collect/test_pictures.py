from __future__ import annotations

import random

import pytest

from evaluation.collect.gate import Stay
from evaluation.collect.pictures import PageRead, displayed, read
from proxy.pages import image_words

URL = "https://example.org/rivers/"
PAGE = """<!doctype html><html><head><title> Rivers  of the world </title><base href="/base/">
<script type="application/ld+json">{"@graph": [{"@type": "ImageObject", "contentUrl": "delta.jpg",
"license": "https://creativecommons.org/licenses/by/4.0/"}]}</script></head><body><h1>Rivers</h1>
<figure><img src="indus.jpg" alt="The Indus near Skardu" width="640" height="360px">
<figcaption>The Indus in <b>spring</b>. <a rel="license nofollow" href="/cc0">CC0</a></figcaption></figure>
<img src="data:image/gif;base64,R0" data-src="/ravi.jpg" alt="">
<img srcset="s.jpg 480w, l.jpg 1600w"><img src="delta.jpg"><img src="indus.jpg">
<a href="/other#top">on</a><a href="https://elsewhere.org/">away</a><a href="/a.pdf">paper</a>
<a href="/secret" rel="nofollow">x</a><a rel="license" href="https://creativecommons.org/licenses/by-sa/4.0/">ours</a>
</body></html>"""


def _read(html: str, **headers: str) -> PageRead | Stay:
    return read(html.encode(), URL, {"content-type": "text/html; charset=utf-8", **headers})


def test_a_pages_images_with_their_context() -> None:
    page = _read(PAGE)
    assert isinstance(page, PageRead)
    indus, ravi, large, delta = page.pictures
    assert page.title == "Rivers of the world"
    assert (indus.url, indus.alt) == ("https://example.org/base/indus.jpg", "The Indus near Skardu")
    assert indus.caption.startswith("The Indus in spring") and indus.displayed_px == (640, 360)
    assert indus.words == image_words(PAGE, URL)[indus.url] and indus.words.startswith("The Indus near Skardu")
    assert (indus.licence, indus.licence_of) == ("https://example.org/cc0", "image")
    assert ravi.url == "https://example.org/ravi.jpg" and ravi.displayed_px is None
    assert (ravi.licence, ravi.licence_of) == ("https://creativecommons.org/licenses/by-sa/4.0/", "page")
    assert large.url.endswith("/l.jpg")
    assert (delta.licence, delta.licence_of) == ("https://creativecommons.org/licenses/by/4.0/", "image")
    assert page.links == ("https://example.org/other",)


def test_a_licence_in_the_header_and_none_at_all() -> None:
    found = _read('<img src="a.jpg">', link='</x>; rel="next", <https://e.org/cc>; rel="license"')
    assert isinstance(found, PageRead) and found.pictures[0].licence == "https://e.org/cc"
    found = _read('<img src="a.jpg">')
    assert isinstance(found, PageRead) and (found.pictures[0].licence, found.pictures[0].licence_of) == ("", "")


def test_the_layout_says_how_large_images_are_shown() -> None:
    page = _read(PAGE)
    assert isinstance(page, PageRead)
    shown = displayed(page, {"https://example.org/ravi.jpg": (300, 200)})
    assert [(p.url, p.displayed_px) for p in shown.pictures] == [("https://example.org/ravi.jpg", (300, 200))]


@pytest.mark.parametrize(
    ("html", "headers"),
    [
        ('<meta name="robots" content="follow, noimageindex"><img src="a.jpg">', {}),
        ('<meta name="robots" content="NOAI"><img src="a.jpg">', {}),
        ("<p>", {"x-robots-tag": "otherbot: none, noimageai"}),
        ("<p>", {"tdm-reservation": "1"}),
    ],
)
def test_pages_that_reserve_their_use(html: str, headers: dict[str, str]) -> None:
    found = _read(html, **headers)
    assert isinstance(found, Stay) and "reserve" in found.why


def test_damaged_pages_never_raise() -> None:
    draw = random.Random(9)
    whole = PAGE.encode()
    for end in range(0, len(whole), 37):
        read(whole[:end], URL, {})
    for _ in range(150):
        broken = bytearray(whole)
        for _ in range(draw.randrange(1, 40)):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
        read(bytes(broken), URL, {"content-type": draw.choice(["text/html", "text/html; charset=utf-16", "x"])})


def test_addresses_that_are_none() -> None:
    page = _read(
        '<base href="//[::1"><figure><img src="a.jpg"><a rel="license" href="//[::1">x</a></figure>'
        '<script type="application/ld+json">{"@type":"ImageObject","contentUrl":"a.jpg","license":"http://[x"}</script>',
        link='<//[::1>; rel="license"',
    )
    assert isinstance(page, PageRead) and page.pictures[0].licence == ""
