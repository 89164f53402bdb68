"""An address in markup and the URL that a browser asks for are the same key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.pages.address import MAX_URL_CHARS, canonical_url, css_addresses, srcset_addresses

BASE = "https://Example.com/a/b.html?q"


@pytest.mark.parametrize(
    ("written", "requested"),
    [
        ("c.jpg", "https://example.com/a/c.jpg"),
        ("../c d.jpg#frag", "https://example.com/c%20d.jpg"),
        ("//CDN.example:443/x.png", "https://cdn.example/x.png"),
        ("http://cdn.example:80/x.png", "http://cdn.example/x.png"),
        ("http://cdn.example:8080/x.png", "http://cdn.example:8080/x.png"),
        ("https://cdn.example", "https://cdn.example/"),
        ("https://h/a/../../b/./c/..", "https://h/b/"),
        ("/\u00fc.jpg?n=\u00fc b", "https://example.com/%C3%BC.jpg?n=%C3%BC%20b"),
        ("/already%20done%2F.jpg", "https://example.com/already%20done%2F.jpg"),
        (" \n/a\n/c.jpg\t", "https://example.com/a/c.jpg"),
        ("\\a\\c.jpg", "https://example.com/a/c.jpg"),
        ("https://b\u00fccher.example/x", "https://xn--bcher-kva.example/x"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("", "https://example.com/a/b.html?q"),
    ],
)
def test_written_as_requested(written: str, requested: str) -> None:
    assert canonical_url(written, BASE) == requested


@pytest.mark.parametrize(
    "written",
    ["data:image/gif;base64,AA", "blob:x", "javascript:void(0)", "http://[", "http://h:99999/", "httpsfoo:x", "ftp://h/x",
     "x" * (MAX_URL_CHARS + 1)],
)  # fmt: skip
def test_other_schemes_and_broken_addresses_are_refused(written: str) -> None:
    assert canonical_url(written, BASE) is None


@given(st.text(max_size=60), st.text(max_size=40))
def test_canonical_is_idempotent_and_never_raises(written: str, base: str) -> None:
    url = canonical_url(written, BASE + base)
    assert url is None or canonical_url(url) == url


def test_srcset_keeps_commas_inside_addresses() -> None:
    srcset = "data:image/gif;base64,AAAA 1x, /a,b.jpg 2x,/c.jpg\n3x, /d.jpg"
    assert list(srcset_addresses(srcset, 9)) == ["data:image/gif;base64,AAAA", "/a,b.jpg", "/c.jpg", "/d.jpg"]


def test_srcset_without_descriptors_and_with_a_limit() -> None:
    assert list(srcset_addresses("/a.jpg, /b.jpg, /c.jpg", 2)) == ["/a.jpg", "/b.jpg"]


def test_css_addresses_in_all_spellings() -> None:
    css = "a{background:URL( \"a b.png\" )} b{background:url('c).png'),url(d.png)} c{content:url()}"
    assert [address for _, address in css_addresses(css, 9)] == ["a b.png", "c).png", "d.png"]
