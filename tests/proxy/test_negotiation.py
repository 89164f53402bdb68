from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.negotiation import (
    Accept,
    Info,
    Skipped,
    Taken,
    format_accept,
    format_info,
    format_words,
    parse_accept,
    parse_info,
    parse_words,
)
from proxy.policy import Reason

HEX = "0123456789abcdef"
NONCES = st.text(HEX, min_size=16, max_size=16)
WORDS = st.text(string.ascii_lowercase, min_size=1, max_size=10)
ENGINES = st.builds(
    lambda name, tail: f"{name}@{tail}" if tail else name, WORDS, st.none() | st.text(HEX, min_size=8, max_size=8)
)
ACCEPTS = st.builds(
    Accept,
    ENGINES,
    NONCES,
    st.lists(st.sampled_from(["prompt", "edges", "edges+palette", "thumbnail"]), max_size=4).map(tuple),
    st.just("") | st.text(HEX, min_size=12, max_size=12),
)
TAKENS = st.builds(
    Taken,
    NONCES,
    WORDS,
    st.integers(0, 2**40),
    st.integers(0, 10**6),
    st.sampled_from(["", "image/jpeg"]),
    st.just("") | WORDS,
)


@given(ACCEPTS)
def test_accept_survives_the_link(accept: Accept) -> None:
    text = format_accept(accept)
    assert parse_accept(text) == accept
    assert parse_accept(text.replace(";", "; ")) == accept
    assert len(text) < 200


@given(TAKENS | st.builds(Skipped, st.sampled_from(Reason)))
def test_info_survives_the_link(info: Info) -> None:
    assert parse_info(format_info(info)) == info
    assert len(format_info(info)) < 160


@given(st.binary(min_size=8, max_size=8))
def test_words_survive_the_link(digest: bytes) -> None:
    assert parse_words(format_words(digest)) == digest


@given(st.text(max_size=500) | st.text("vendornoce=;,@1 0abcf", max_size=120))
def test_garbage_is_none_and_never_an_error(text: str) -> None:
    for parse in (parse_accept, parse_info, parse_words):
        parsed = parse(text)
        assert parsed is None or isinstance(parsed, Accept | Taken | Skipped | bytes)


@given(ACCEPTS.map(format_accept) | TAKENS.map(format_info), st.data())
def test_damaged_values_are_never_an_error(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.characters()) + text[at + 1 :]
    parse_accept(damaged)
    parse_info(damaged)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "v=2;engine=preview;nonce=0123456789abcdef",
        "v=1;nonce=0123456789abcdef",
        "v=1;engine=preview",
        "v=1;engine=preview;nonce=0123456789ABCDEF",
        "v=1;engine=preview;nonce=0123456789abcdef;nonce=0123456789abcdef",
        "v=1;engine=<script>;nonce=0123456789abcdef",
        "v=1;engine=preview;nonce=0123456789abcdef;client=../../etc",
        "v=1;engine=preview;nonce=0123456789abcdef;modes=" + ",".join(["a"] * 17),
        "v=1;engine=preview;nonce=0123456789abcdef;pad=" + "x" * 400,
        "v=1;engine=preview;nonce=0123456789abcdef\0",
    ],
)
def test_what_is_no_capability(text: str | None) -> None:
    assert parse_accept(text) is None


def test_unknown_keys_are_left_to_later_versions() -> None:
    accept = parse_accept("v=1;engine=preview;nonce=0123456789abcdef;later=1")
    assert accept == Accept("preview", "0123456789abcdef")


@pytest.mark.parametrize(
    "text",
    [
        "d=skip;r=because",
        "d=skip",
        "d=take;m=edges;o=5",
        "n=0123456789abcdef;d=take;m=edges",
        "n=0123456789abcdef;d=take;m=edges;o=-5",
        "n=0123456789abcdef;d=take;m=edges;o=99999999999999999999",
        "n=0123456789abcdef;d=take;m=edges;o=5;c=text/html<b>",
    ],
)
def test_what_is_no_information(text: str) -> None:
    assert parse_info(text) is None


def test_tier_formats_and_link_cross_and_nonsense_does_not() -> None:
    accept = Accept("preview", "0123456789abcdef", tier="faithful", formats=("avif", "jxl"), link="3g")
    assert parse_accept(format_accept(accept)) == accept
    for wrong in ("tier=best", "link=5g", "formats=av/if", "formats=", "formats=" + "a," * 20 + "a"):
        assert parse_accept(f"v=1;engine=preview;nonce=0123456789abcdef;{wrong}") is None
