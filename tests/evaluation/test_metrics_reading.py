from __future__ import annotations

import importlib.util
import logging

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics import reading
from evaluation.metrics.reading import edits, normal

WORDS = st.text("abcé", max_size=7)


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("kitten", "sitting", 3), ("flaw", "lawn", 2), ("saturday", "sunday", 3), ("", "abc", 3), ("same", "same", 0)],
)
def test_known_distances(first: str, second: str, distance: int) -> None:
    assert edits(first, second) == edits(second, first) == distance


@given(WORDS, WORDS, WORDS)
def test_it_is_a_metric(a: str, b: str, c: str) -> None:
    assert (edits(a, b) == 0) == (a == b)
    assert edits(a, c) <= edits(a, b) + edits(b, c)
    assert abs(len(a) - len(b)) <= edits(a, b) <= max(len(a), len(b))


def test_case_and_spaces_do_not_count() -> None:
    assert normal("Old  Town\tHall") == "oldtownhall"


def test_without_a_reader_it_is_skipped_aloud(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reading, "MODELS", ("no-such-*.onnx",))
    reading.reader.cache_clear()
    with caplog.at_level(logging.WARNING, "sketchwire.evaluation"):
        assert reading.reader() is None
    assert "skipping ocr" in caplog.text
    reading.reader.cache_clear()


@pytest.mark.skipif(importlib.util.find_spec("rapidocr") is None, reason="rapidocr is not installed")
def test_blurred_text_reads_worse() -> None:
    if reading.why_not():
        pytest.skip(reading.why_not())
    sign = np.full((120, 460, 3), 245, np.uint8)
    for row, line in enumerate(("Central Station", "Platform 12")):
        cv2.putText(sign, line, (20, 50 + 50 * row), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (20, 20, 20), 2, cv2.LINE_AA)
    read = reading.reader()
    assert read is not None
    lines = read.lines(sign)
    assert {normal(text) for _, text in lines} == {"centralstation", "platform12"}
    assert read.error_rate(sign, sign, lines) == 0
    assert read.error_rate(sign, cv2.GaussianBlur(sign, (0, 0), 6)) > 0.4
    assert read.error_rate(np.full_like(sign, 200), sign) is None
    with pytest.raises(ValueError, match="different shapes"):
        read.error_rate(sign, sign[:-1])
