"""Examples in the report: both pictures, a line that moves without a script, and only where they may be shown."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.gallery.shelf import Shelf
from proxy.report.content import Report, Wanted, gather, with_pictures
from proxy.report.document import render
from proxy.report.pictures import STOPS
from tests.proxy.gallery.pictures import NOW_S as TAKEN_S
from tests.proxy.gallery.pictures import pair
from tests.proxy.ledger.rows import filled, row
from tests.proxy.report.test_document import Outline


@pytest.fixture
def report(tmp_path: Path) -> Report:
    place = filled(tmp_path / "l.sqlite", row(time_s=TAKEN_S - 60), row(time_s=TAKEN_S + 60))
    return gather(place, Wanted(TAKEN_S + 120))


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    shelf = Shelf(tmp_path / "gallery", 3, 86_400.0)
    for quality in (0.31, 0.42, 0.93, 0.97):
        shelf.put(pair(quality), "c" * 16)
    shelf.put(pair(0.5, TAKEN_S - 3_600))  # before the period
    return shelf.folder


def test_the_worst_and_the_best_are_shown_before_and_after(report: Report, gallery: Path) -> None:
    made = render(with_pictures(report, gallery))
    outline = Outline()
    outline.feed(made)
    outline.close()
    assert outline.open == [] and "script" not in outline.tags
    files = [base64.b64decode(found) for found in re.findall(r'src="data:image/webp;base64,([^"]+)"', made)]
    assert len(files) == 8 and all(file[8:12] == b"WEBP" for file in files)
    assert pair(0.31).before == files[0]
    order = re.findall(r"<legend>Similarity (0\.\d\d)", made)
    assert order == ["0.31", "0.42", "0.97", "0.93"]
    assert made.count('type="radio"') == 4 * len(STOPS) and made.count(" checked>") == 4
    assert all(f'aria-label="{stop} % original"' in made for stop in STOPS)
    assert "c" * 16 not in made


def test_no_gallery_no_section(report: Report, tmp_path: Path) -> None:
    made = render(with_pictures(report, tmp_path / "none"))
    assert "radio" not in made and "Examples, before and after" not in made and ".cut" not in made


def test_pictures_are_in_no_shared_report_and_in_no_subscribers(report: Report, gallery: Path) -> None:
    for kept_in in (replace(report, shared=True), replace(report, subscriber="a" * 16)):
        assert with_pictures(kept_in, gallery) == kept_in
