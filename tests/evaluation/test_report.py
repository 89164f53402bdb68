from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np

from evaluation.pictures import at_view, like, shown
from evaluation.report.charts import Axes, Series, chart
from evaluation.report.page import Section, page, paragraph
from evaluation.report.sheets import sheet
from evaluation.report.tables import estimate, number, percent, table
from evaluation.stats import Estimate

SERIES = [Series("ours", [(0.01, 0.5), (0.1, 0.8)], 0, line=True), Series("<webp>", [(0.02, 0.4)], 1)]


def test_charts_are_valid_follow_the_page_and_do_not_change() -> None:
    axes = Axes("bits", "value", log_x=True, percent_y=True, level=(0.32, "random"))
    figure = chart("one", "A & B", SERIES, axes)
    assert figure == chart("one", "A & B", SERIES, axes)
    svg = figure[figure.index("<svg") : figure.index("</svg>") + 6]
    root = ElementTree.fromstring(svg)
    assert "var(--c0)" in svg and "var(--ink)" in svg and "#0401" not in svg and "#0101" not in svg
    assert {e.text for e in root.iter() if e.tag.endswith("text")} >= {"ours", "<webp>", "0.01", "0.1", "random"}
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert used <= set(ids) and len(ids) == len(set(ids)) and all(i.startswith("one-") for i in ids)
    assert not set(ids) & set(re.findall(r'\bid="([^"]+)"', chart("two", "C", SERIES, axes)))


def test_a_chart_without_points_says_so() -> None:
    assert "not measured" in chart("none", "Nothing", [Series("ours", [], 0)], Axes("x", "y"))


def test_the_page_loads_nothing_and_escapes() -> None:
    picture = shown(np.full((40, 60, 3), 90, np.uint8))
    parts = [paragraph("a < b"), sheet("x & y", picture, [("ours", "9 B", picture), ("absent", "", "")])]
    text = page("T <1>", [], [Section("s", "S", parts)], "end")
    assert "a &lt; b" in text and "x &amp; y" in text and "T &lt;1&gt;" in text and "absent" not in text
    assert text.count("data:image/webp;base64,") == 2 and text.count('type="range"') == 1
    assert not re.search(r'(?:src|href)="(?!data:|#)', text) and "@import" not in text and "http" not in text
    assert "prefers-color-scheme:dark" in text


def test_tables_and_figures_in_words() -> None:
    assert percent(0.9261) == "92.6 %" and percent(None) == "–" and number(12345.6, 0) == "12,346"
    assert estimate(Estimate(0.5, 0.4, 0.6, 9), 0, share=True) == "50 %\n40 % … 60 %"
    assert estimate(Estimate(0.5, None, None, 2)) == "0.500" and estimate(None) == "–"
    html = table("", ["a", "b"], [["x", "1\n2"]], words=(0,))
    assert "<td class=words>x</td><td>1<br><small>2</small></td>" in html and "caption" not in html


def test_pictures_are_compared_at_one_size() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    assert at_view(picture, 80).shape == (45, 80, 3)
    assert at_view(picture, 0) is picture and at_view(picture, 200) is picture
    assert like(picture[:30, :40], picture).shape == picture.shape
