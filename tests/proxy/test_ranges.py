from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ranges import Span, Unsatisfiable, parse_range


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-9", Span(0, 9)),
        ("bytes=90-", Span(90, 99)),
        ("bytes=90-500", Span(90, 99)),
        ("bytes=-10", Span(90, 99)),
        ("bytes=-500", Span(0, 99)),
        ("bytes=100-", Unsatisfiable()),
        ("bytes=-0", Unsatisfiable()),
        ("bytes=9-0", None),
        ("bytes=0-1,5-6", None),
        ("bytes=-", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("", None),
    ],
)
def test_ranges_of_a_hundred_bytes(value: str, expected: object) -> None:
    assert parse_range(value, 100) == expected


@given(st.text("bytes=0123456789-, ", max_size=30), st.integers(0, 1000))
def test_a_span_always_lies_within(value: str, size: int) -> None:
    span = parse_range(value, size)
    if isinstance(span, Span):
        assert 0 <= span.first <= span.last < size
