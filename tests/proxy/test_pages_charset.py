"""Bytes become the same text on both sides: declared, marked or guessed in one fixed order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.pages.charset import page_text


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("é".encode(), "text/html; charset=utf-8", "é"),
        ("é".encode("latin-1"), 'text/html; charset="ISO-8859-1"', "é"),
        ("“é”".encode("cp1252"), "text/html", "“é”"),
        (b"\xef\xbb\xbf\xc3\xa9", "text/html; charset=latin1", "é"),
        ("é".encode("utf-16"), "", "é"),
        ("<meta charset=shift_jis>狐".encode("shift_jis"), "", "<meta charset=shift_jis>狐"),
        ("<meta http-equiv=a content='text/html; charset=koi8-r'>лиса".encode("koi8-r"), "text/html",
         "<meta http-equiv=a content='text/html; charset=koi8-r'>лиса"),
        ("<meta charset=utf-16>é".encode(), "", "<meta charset=utf-16>é"),
        (b"a\xff", "text/html; charset=utf-8", "a\ufffd"),
        ("é".encode(), "text/html; charset=idna", "é"),
        ("é".encode(), "text/html; charset=unicode_escape", "é"),
    ],
)  # fmt: skip
def test_charset(body: bytes, content_type: str, text: str) -> None:
    assert page_text(body, content_type) == text


@given(st.binary(max_size=200), st.text(max_size=60))
def test_never_raises(body: bytes, content_type: str) -> None:
    assert isinstance(page_text(body, f"text/html; charset={content_type}"), str)
