"""Phrases become prompts: what is dropped, what is said once, and where it is cut."""

from __future__ import annotations

import hashlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.pages.words import MAX_WORDS_CHARS, cap, compose, describing, tidy, words_digest


@pytest.mark.parametrize(
    "phrase",
    ["", "image", "Photo", "logo.png", "IMG_1234", "DSC00012.JPG", "photo 3", "1024x683", "Read more »", "…", "©", "12",
     "3f2a9c0d11e84b7a", "https://cdn.example/a/b", "Featured image", "{{ alt }}", "Photo: Jo Bloggs/Agency", "- 1 -",
     "(Photo by Jo Bloggs)", "Click to enlarge", "placeholder", "📷", "AP Photo/Jo Bloggs"],
)  # fmt: skip
def test_boilerplate_is_dropped(phrase: str) -> None:
    assert describing(phrase) == ""


@pytest.mark.parametrize(
    ("phrase", "kept"),
    [
        ("Image may contain: one person, outdoor", "one person, outdoor"),
        ("A photo of a red fox", "a red fox"),
        ("Red fox (Photo by Jo Bloggs/Agency)", "Red fox"),
        ("Red fox © 2024 Agency", "Red fox"),
        ("Red fox. Photograph: Jo Bloggs", "Red fox."),
        ("red-fox-in-snow", "red fox in snow"),
        ("Soleier (pickled eggs)", "Soleier (pickled eggs)"),
        ("(a red fox)", "a red fox"),
        ("🍳 Cook for a while", "Cook for a while"),
        ("Acme logo", "Acme logo"),
        ("The Boeing 747", "The Boeing 747"),
        ("Photography in the dark", "Photography in the dark"),
        ("狐狸", "狐狸"),
    ],
)
def test_the_describing_part_is_kept(phrase: str, kept: str) -> None:
    assert describing(phrase) == kept


def test_what_was_said_is_not_said_again() -> None:
    assert compose(["Red fox", "a red FOX!", "The fox", "Red fox"]) == "a red FOX! The fox"


def test_a_longer_phrase_takes_the_place_of_the_shorter() -> None:
    assert compose(["Chelsea", "Snow", "The cat Chelsea on a blanket"]) == "The cat Chelsea on a blanket. Snow"


def test_capped_between_words() -> None:
    words = compose(["alpha beta " * 100])
    assert (
        len(words) <= MAX_WORDS_CHARS and words.split()[-1] in ("alpha", "beta") and len(words) > MAX_WORDS_CHARS - 12
    )


def test_capped_where_there_are_no_spaces() -> None:
    assert len(cap("狐" * 500)) == MAX_WORDS_CHARS


def test_digest_is_the_start_of_sha256() -> None:
    assert words_digest("Red fox") == hashlib.sha256(b"Red fox").digest()[:8]


@given(st.text())
def test_tidy_is_idempotent_and_so_is_the_digest(phrase: str) -> None:
    once = tidy(phrase)
    assert tidy(once) == once == unicodedata.normalize("NFC", once)
    assert words_digest(tidy(once)) == words_digest(once) and len(words_digest(phrase)) == 8


@given(st.lists(st.text(max_size=700), max_size=6))
def test_composed_words_are_bounded_and_plain(phrases: list[str]) -> None:
    words = compose(phrases)
    assert len(words) <= MAX_WORDS_CHARS and words == tidy(words)
