from __future__ import annotations

from typing import Any

import pytest

from proxy.onboarding.choices import (
    MAX_CHOICES,
    Choice,
    Choices,
    NotAnAddress,
    OpenPages,
    page_of,
    read_page,
    read_site,
)


@pytest.mark.parametrize(
    ("written", "page", "site"),
    [
        ("https://www.example.org/story?id=5#top", "www.example.org/story?id=5", "example.org"),
        ("example.org", "example.org/", "example.org"),
        ("  Example.ORG/Story  ", "example.org/Story", "example.org"),
        ("http://example.org:8080/a", "example.org:8080/a", "example.org"),
        ("https://example.org:443/a", "example.org/a", "example.org"),
        ("http://bücher.example/", "xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("http://[2001:db8::1]:81/a", "[2001:db8::1]:81/a", "2001:db8::1"),
        ("localhost:8000/x", "localhost:8000/x", "localhost"),
    ],
)
def test_addresses_as_people_write_them(written: str, page: str, site: str) -> None:
    assert read_page(written) == page and read_site(written) == site


@pytest.mark.parametrize(
    "written",
    ["", "   ", "word", "javascript:alert(1)", "ftp://example.org/", "http://", "http:///x", '"><script>', "a b.org",
     "http://exa mple.org/", "https://example.org:99999/", "http://" + "a" * 70 + ".org", "x" * 5000 + ".org/"],
)  # fmt: skip
def test_what_is_no_address(written: str) -> None:
    with pytest.raises(NotAnAddress):
        read_page(written)


def test_a_site_is_everything_below_it_on_its_pages_and_from_its_hosts() -> None:
    choice = Choice(sites=("example.org",))
    assert choice.wants_original("img.example.org/a.jpg", None)
    assert choice.wants_original("cdn.test/a.jpg", "www.example.org/story")
    assert not choice.wants_original("notexample.org/a.jpg", None)
    assert not choice.wants_original("cdn.test/a.jpg", "other.test/story")


def test_a_page_is_itself_and_off_is_everything() -> None:
    choice = Choice(pages=("example.org/story",))
    assert choice.wants_original("cdn.test/a.jpg", "example.org/story")
    assert not choice.wants_original("example.org/a.jpg", "example.org/")
    assert Choice(off=True).wants_original("x.test/a.jpg", None) and not Choice()


def test_a_referer_that_names_an_origin_is_the_last_page_there() -> None:
    pages = OpenPages(max_entries=2)
    pages.opened("me", "https://example.org/story")
    assert pages.page("me", "https://example.org/") == "example.org/story"
    assert pages.page("me", "https://example.org/other") == "example.org/other"
    assert pages.page("you", "https://example.org/") == "example.org/"
    assert pages.page("me", None) is None and pages.page("me", "about:blank") is None
    for number in range(3):
        pages.opened("me", f"https://{number}.test/x")
    assert pages.page("me", "https://example.org/") == "example.org/", "the oldest is forgotten"


def test_choices_are_kept_for_each_client_and_bounded() -> None:
    choices = Choices()
    choices.set("me", Choice(sites=tuple(f"{number}.test" for number in range(MAX_CHOICES + 5))))
    choices.set("you", Choice(off=True))
    choices.set("gone", Choice(off=True))
    choices.set("gone", Choice())
    again = Choices()
    again.load(choices.saved())
    assert again.of("you").off and not again.of("me").off and set(again.saved()["clients"]) == {"me", "you"}
    assert len(again.of("me").sites) == MAX_CHOICES and again.of("me").sites[-1] == f"{MAX_CHOICES + 4}.test"


@pytest.mark.parametrize(
    "saved",
    [{}, {"version": 9, "clients": {"a": [True, [], []]}}, {"version": 1, "clients": []},
     {"version": 1, "clients": {"a": [1, [], []], "b": [True, "x", []], "c": [True, [1], []], "d": None}}],
)  # fmt: skip
def test_nonsense_is_left_out(saved: dict[str, Any]) -> None:
    choices = Choices()
    choices.load(saved)
    assert choices.saved()["clients"] == {}


@pytest.mark.parametrize("url", ["", "about:blank", "http://", "http://[::1", "data:,x", "http://a:99999/"])
def test_urls_that_are_no_pages(url: str) -> None:
    assert page_of(url) is None
