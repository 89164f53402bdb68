"""Headers of a request to an Ask."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from client_runtime.service.ask import BadAsk, Sharing, acceptable, fitting, parse

ALL = ("image/webp", "image/jpeg", "image/png")


def ask(**headers: str):  # type: ignore[no-untyped-def]
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return parse(named, default_deadline_s=10.0)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, ALL),
        ("", ALL),
        ("*/*", ALL),
        ("image/*;q=0.5", ALL),
        ("image/png", ("image/png",)),
        ("IMAGE/JPEG, image/png;q=0.9", ("image/jpeg", "image/png")),
        ("image/png;q=0.5, image/jpeg;q=0.9", ("image/jpeg", "image/png")),
        ("image/webp;q=0, */*", ("image/jpeg", "image/png")),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", ALL),
        ("text/html", ()),
        ("image/png;q=nonsense", ()),
    ],
)
def test_accept(accept: str | None, expected: tuple[str, ...]) -> None:
    assert acceptable(accept) == expected


def test_defaults() -> None:
    plain = ask()
    assert (plain.quality, plain.deadline_s, plain.prompt, plain.sharing) == (88, 10.0, None, Sharing.EVERYONE)


@given(st.text(min_size=1, max_size=200).filter(lambda text: text.isprintable() or "\n" in text))
def test_any_prompt_survives_percent_encoding(text: str) -> None:
    assert ask(Sketchwire_Prompt=quote(text, safe="")).prompt == text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sketchwire_Prompt": "%ff%fe"},
        {"Sketchwire_Prompt": "katze \N{CAT}"},
        {"Sketchwire_Prompt": "x" * 1001},
        {"Sketchwire_Deadline_Ms": "-1"},
        {"Sketchwire_Deadline_Ms": "1.5"},
        {"Sketchwire_Deadline_Ms": "soon"},
        {"Sketchwire_Deadline_Ms": "\N{SUPERSCRIPT TWO}"},
        {"Sketchwire_Deadline_Ms": "9" * 400},
        {"Sketchwire_Quality": "0"},
        {"Sketchwire_Quality": "101"},
        {"Sketchwire_Client": ""},
        {"Sketchwire_Client": "two words"},
        {"Sketchwire_Client": "x" * 129},
    ],
    ids=str,
)
def test_nonsense_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(BadAsk) as caught:
        ask(**headers)
    assert caught.value.status == 400


def test_a_type_nobody_makes_is_refused() -> None:
    with pytest.raises(BadAsk) as caught:
        ask(Accept="image/avif")
    assert caught.value.status == 406


def test_a_deadline_is_capped() -> None:
    assert ask(Sketchwire_Deadline_Ms="999999999999").deadline_s == 600.0


@pytest.mark.parametrize(
    ("headers", "sharing", "client"),
    [
        ({}, Sharing.EVERYONE, None),
        ({"Sketchwire_Share": "no", "Sketchwire_Client": "anna"}, Sharing.CLIENT, "anna"),
        ({"Sketchwire_Share": "no"}, Sharing.NOBODY, None),
        ({"Sketchwire_Share": "perhaps", "Sketchwire_Client": "anna"}, Sharing.CLIENT, "anna"),
        ({"Sketchwire_Prompt": "a%20letter"}, Sharing.NOBODY, None),
        ({"Sketchwire_Prompt": "a%20letter", "Sketchwire_Client": "anna"}, Sharing.CLIENT, "anna"),
        ({"Sketchwire_Prompt": "a%20letter", "Sketchwire_Share": "yes"}, Sharing.EVERYONE, None),
        ({"Sketchwire_Client": "anna"}, Sharing.EVERYONE, None),
    ],
    ids=str,
)
def test_who_may_share(headers: dict[str, str], sharing: Sharing, client: str | None) -> None:
    got = ask(**headers)
    assert (got.sharing, got.client) == (sharing, client)


def test_a_picture_too_long_for_webp_becomes_a_jpeg_or_a_png() -> None:
    assert fitting(ALL, 16_383, 10) == "image/webp"
    assert fitting(ALL, 16_384, 10) == "image/jpeg"
    assert fitting(ALL, 10, 65_535) == "image/png"
    with pytest.raises(BadAsk) as caught:
        fitting(("image/webp",), 20_000, 10)
    assert caught.value.status == 406
