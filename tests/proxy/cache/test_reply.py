from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cache.entry import Stored
from proxy.cache.invalidation import invalidated
from proxy.cache.reply import reply
from proxy.cache.validation import confirms, freshened, validators
from proxy.headers import Headers

MODIFIED, LATER = "Sun, 01 Nov 2026 10:00:00 GMT", "Sun, 08 Nov 2026 10:00:00 GMT"
HEAD = (
    ("Content-Type", "text/css"),
    ("ETag", '"a"'),
    ("Last-Modified", MODIFIED),
    ("Date", LATER),
    ("Cache-Control", "max-age=60"),
    ("X-Own", "1"),
)


def stored(*fields: tuple[str, str], status: int = 200) -> Stored:
    return Stored(status, Headers(fields or HEAD), (), 1.0, 2.0, 0, False)


def asked(**fields: str) -> Headers:
    return Headers.of((name.replace("_", "-"), value) for name, value in fields.items())


def test_a_whole_answer_has_its_age_and_length() -> None:
    made = reply(stored(), 100, "GET", asked(), 12.9)
    assert made.status == 200 and (made.first, made.end) == (0, 100)
    assert made.headers.get("age") == "12" and made.headers.get("content-length") == "100"
    assert reply(stored(), 100, "HEAD", asked(), 0).end == 0
    assert reply(stored(), 100, "GET", asked(), None).headers.get("age") == str(2**31)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"If_None_Match": '"a"'}, 304),
        ({"If_None_Match": 'W/"a"'}, 304),
        ({"If_None_Match": '"b", "a"'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"b"'}, 200),
        ({"If_None_Match": '"b"', "If_Modified_Since": LATER}, 200),
        ({"If_Modified_Since": MODIFIED}, 304),
        ({"If_Modified_Since": LATER}, 304),
        ({"If_Modified_Since": "Sat, 31 Oct 2026 10:00:00 GMT"}, 200),
        ({"If_Modified_Since": "yesterday"}, 200),
        ({"Range": "bytes=0-9"}, 206),
        ({"Range": "bytes=-5"}, 206),
        ({"Range": "bytes=100-"}, 416),
        ({"Range": "bytes=0-1,5-6"}, 200),
        ({"Range": "bytes=0-9", "If_Range": '"a"'}, 206),
        ({"Range": "bytes=0-9", "If_Range": 'W/"a"'}, 200),
        ({"Range": "bytes=0-9", "If_Range": '"b"'}, 200),
        ({"Range": "bytes=0-9", "If_Range": MODIFIED}, 206),
        ({"Range": "bytes=0-9", "If_Range": LATER}, 200),
    ],
)
def test_conditions_and_ranges(fields: dict[str, str], status: int) -> None:
    made = reply(stored(), 100, "GET", asked(**fields), 1)
    assert made.status == status
    if status == 304:
        assert made.end == 0 and "x-own" not in made.headers and made.headers.get("etag") == '"a"'
    if status == 206:
        assert made.headers.get("content-length") == str(made.end - made.first)


def test_other_statuses_know_no_conditions() -> None:
    gone = stored(*HEAD, status=404)
    assert reply(gone, 10, "GET", asked(If_None_Match='"a"', Range="bytes=0-1"), 1).status == 404


@given(size=st.integers(0, 500), first=st.integers(0, 600), length=st.integers(1, 600))
@settings(max_examples=100, deadline=None)
def test_a_part_lies_inside_the_body(size: int, first: int, length: int) -> None:
    made = reply(stored(), size, "GET", asked(Range=f"bytes={first}-{first + length - 1}"), 1)
    assert made.status == (206 if first < size else 416)
    if made.status == 206:
        assert (made.first, made.end) == (first, min(first + length, size))


def test_the_question_a_cache_asks() -> None:
    assert validators(stored()) == (("If-None-Match", '"a"'),)
    assert validators(stored(("Last-Modified", MODIFIED))) == (("If-Modified-Since", MODIFIED),)
    for broken in ('"a', "a", '"a", "b"', "*"):
        assert validators(stored(("ETag", broken))) == ()


def test_a_304_brings_the_head_up_to_date_and_nothing_of_the_body() -> None:
    came = asked(Cache_Control="max-age=99", Content_Type="image/gif", Content_Length="0", X_New="2", Age="4")
    new = freshened(stored(), came, 10.0, 11.0)
    assert new.headers.get("cache-control") == "max-age=99" and new.headers.get("x-new") == "2"
    assert new.headers.get("content-type") == "text/css" and "content-length" not in new.headers
    assert new.headers.get("etag") == '"a"' and new.headers.get("x-own") == "1"
    assert (new.requested_s, new.received_s, new.age_s) == (10.0, 11.0, 4)
    assert new.headers.get_all("cache-control") == ["max-age=99"]


def test_a_304_to_a_clients_own_question_must_name_what_is_stored() -> None:
    assert confirms(asked(ETag='W/"a"'), stored())
    assert not confirms(asked(ETag='"b"'), stored()) and not confirms(asked(), stored())
    undated = stored(("Last-Modified", MODIFIED))
    assert confirms(asked(Last_Modified=MODIFIED), undated) and not confirms(asked(Last_Modified=LATER), undated)


@pytest.mark.parametrize(
    ("method", "status", "fields", "expected"),
    [
        ("POST", 200, {}, ("http://a.test/x",)),
        ("DELETE", 204, {}, ("http://a.test/x",)),
        ("PURGE", 200, {}, ("http://a.test/x",)),
        ("POST", 303, {"Location": "/y"}, ("http://a.test/x", "http://a.test/y")),
        ("PUT", 201, {"Content_Location": "http://a.test:80/z#f"}, ("http://a.test/x", "http://a.test:80/z")),
        ("POST", 200, {"Location": "http://b.test/y"}, ("http://a.test/x",)),
        ("POST", 200, {"Location": "https://a.test/y"}, ("http://a.test/x",)),
        ("POST", 200, {"Location": "http://[broken/"}, ("http://a.test/x",)),
        ("POST", 500, {}, ()),
        ("GET", 200, {}, ()),
        ("OPTIONS", 200, {}, ()),
    ],
)
def test_invalidation(method: str, status: int, fields: dict[str, str], expected: tuple[str, ...]) -> None:
    assert invalidated(method, "http://a.test/x", status, asked(**fields)) == expected
