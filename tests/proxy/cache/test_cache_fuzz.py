from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cache.control import read_control, read_date
from proxy.cache.entry import load
from proxy.headers import Headers
from tests.fuzz.fuzz_cache import SEED, attempt_entry, attempt_heads, damaged, heads


def test_the_seed_is_an_entry_and_no_part_of_it_is() -> None:
    assert attempt_entry(SEED)
    for end in range(len(SEED)):
        with pytest.raises(ValueError, match=r"no |Expecting|Extra|Unterminated|Invalid"):
            load(SEED[:end])


def test_damaged_entries_end_in_an_entry_or_a_value_error() -> None:
    choose = random.Random(7)
    assert sum(attempt_entry(damaged(choose)) for _ in range(1500)) > 0


def test_invented_heads_keep_what_must_always_hold() -> None:
    choose = random.Random(8)
    for _ in range(1500):
        attempt_heads(*heads(choose))


@given(st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_text_is_an_entry_or_a_value_error(text: str) -> None:
    attempt_entry(text)


@given(st.text(max_size=80))
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_date_or_none(text: str) -> None:
    assert isinstance(read_date(text), float | None)


def test_directives_hidden_in_quotes_do_not_count_and_those_after_broken_quotes_do() -> None:
    def control(text: str) -> set[str]:
        return set(read_control(Headers((("Cache-Control", text),))).directives)

    assert control('ext="a, no-store", max-age=5') == {"ext", "max-age"}
    assert control('ext="a, no-store') == {"ext", "no-store"}
    assert control(" ,, no-cache ;x, MAX-AGE = 5") == {"no-cache", "max-age"}
    assert control("x" * 5000) == {"no-store", "no-cache"}
    assert control("") == set()


def test_deep_nesting_is_no_entry() -> None:
    with pytest.raises(ValueError, match="no entry"):
        load("[" * 100_000)
