"""A short run of tests/fuzz/fuzz_captions.py, and what longer ones found."""

from __future__ import annotations

import random
from typing import Any

import pytest

from proxy.captions.clean import clean
from proxy.captions.question import caption_of, hint_of, text_of
from tests.fuzz.fuzz_captions import attempt, check


def test_damaged_answers_become_plain_words_or_nothing() -> None:
    chance = random.Random(5)
    read = [attempt(chance) for _ in range(1_500)]
    assert 20 < sum(text is not None for text in read) < 1_400, "the inputs are neither all good nor all bad"


@pytest.mark.parametrize(
    "content", [[{"text": 5}], [{"text": None}], [{"text": ["A bicycle"]}], [5], [[]], {"text": "A"}]
)
def test_parts_of_other_types_are_refused(content: Any) -> None:
    with pytest.raises(ValueError, match="message"):
        text_of({"choices": [{"message": {"content": content}}]})


@pytest.mark.parametrize(
    "text", ['{"caption": {"a": 1}}', '{"caption": NaN}', '{"caption": "A" "B"}', "[1]", "{" * 3000]
)
def test_objects_without_a_caption_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        caption_of(text)


def test_an_address_behind_a_key_is_no_hint() -> None:
    assert hint_of("A cup sk-test-abcdefgh12345678https://evil.example") is None
    assert hint_of("A cup beside a window") == "A cup beside a window"


@pytest.mark.parametrize("said", ["A \ud83d bicycle", "A cup(cat:1.5)", "(me)@evil.example or so"])
def test_what_is_left_of_a_caption_can_be_stored(said: str) -> None:
    plain = clean(said, 200)
    if plain is not None:
        check(plain)
