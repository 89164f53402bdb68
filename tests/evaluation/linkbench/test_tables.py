"""What the link's benches print."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from evaluation.linkbench.__main__ import median, shapes, table
from evaluation.linkbench.loader import Load
from evaluation.linkbench.pages import make_pages
from evaluation.linkbench.throughput import KINDS, Round
from evaluation.linkbench.throughput import table as rates
from evaluation.linkbench.ways import Shape


def told(*loads: Load) -> dict[str, object]:
    return {"loads": [asdict(each) for each in loads], "median": median(list(loads))}


def test_ratios_are_to_direct_of_the_same_loader() -> None:
    direct = told(Load(0.5, None, 40.0, 1_000_000, 900_000, 0.0))
    link = told(*(Load(0.3, None, load_s, 250_000, 800_000, 0.5) for load_s in (8.0, 10.0, 30.0)))
    drawn = told(Load(0.4, 0.9, 12.0, 300_000, 800_000, 0.5))
    cold = asdict(Load(3.0, None, 100.0, 300_000, 800_000, 2.0))
    ways = {"direct": {"cold": [], "pages": direct}, "link": {"cold": [cold], "pages": link, "chromium": drawn}}
    lines = table({"256 kbit/s, 300 ms": ways}).splitlines()
    assert "| link | pages | 0.30 | – | 10.0 | 30.0 | 250,000 | 4.0× | 75.0% | 0.50 |" in lines[3]
    assert "| link, first load | pages | 3.00 | – | 100.0 |" in lines[4]
    assert "| link | chromium | 0.40 | 0.90 | 12.0 | 12.0 | 300,000 | – | – | 0.50 |" in lines[5]


def test_each_profile_is_measured_with_each_loss() -> None:
    found = shapes("64:600,256:300", "0,0.02")
    assert found == [Shape(64, 600, 0.0), Shape(64, 600, 0.02), Shape(256, 300, 0.0), Shape(256, 300, 0.02)]
    assert str(found[1]) == "64 kbit/s, 600 ms, 2% lost"


def test_rates_and_processor_time_are_compared_with_bare_proxies() -> None:
    kind = KINDS[0]
    bare, link = [Round(4.0, 0.3, 0.5), Round(5.0, 0.3, 0.5)], [Round(5.0, 0.5, 0.5), Round(7.0, 0.5, 0.5)]
    lines = rates((kind,), {kind.name: {"bare": bare, "link": link}}).splitlines()
    assert "| link | 16.7 | 0.0 | 75% | 5.0 | 5.0 | 80% |" in lines[3]


def test_a_page_needs_its_pictures(tmp_path: Path) -> None:
    Image.new("RGB", (60, 40), "red").save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="has 1 pictures, 2 are wanted"):
        make_pages(tmp_path, tmp_path, 1, 2)
    assert make_pages(tmp_path, tmp_path, 1, 1) == (tmp_path / "pages/0/0.jpg").stat().st_size
    assert 'width="60" height="40"' in (tmp_path / "pages/0/index.html").read_text()
