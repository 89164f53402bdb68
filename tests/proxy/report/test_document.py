"""The HTML report: true figures, valid structure, nothing from outside."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from proxy.config import ReportConfig
from proxy.ledger import Ledger, Row
from proxy.ledger.read import Scope
from proxy.report import charts
from proxy.report.content import DAY_S, Report, Wanted, gather
from proxy.report.document import render
from proxy.report.numbers import percent, size
from tests.proxy.report.conftest import NOW_S

PRICES = ReportConfig(link_kbit_s=512, price_per_mb=0.5, drawing_price=0.05, daily_price=0.2, currency="KES")
VOID = {"meta", "link", "br", "hr", "img", "path", "use", "rect", "input"}


class Outline(HTMLParser):
    """Checks nesting; collects ids, references, tags and the text that is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href", "srcset", "action"):
                self.references.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open[-1:]:
            self.seen.append(data)


def outline(document: str) -> Outline:
    parser = Outline()
    parser.feed(document)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def report(village: Path) -> Report:
    return gather(village, Wanted(NOW_S + 1, Scope(NOW_S - 7 * DAY_S), PRICES, 3, quality_place=village))


@pytest.fixture(scope="module")
def document(report: Report, village: Path) -> str:
    before = gather(village, Wanted(NOW_S + 1, Scope(NOW_S - 14 * DAY_S, NOW_S - 7 * DAY_S), PRICES, 3))
    return render(report, before, "1.2.3")


def test_it_says_what_the_ledger_says(report: Report, document: str) -> None:
    seen = " ".join(outline(document).seen)
    totals = report.summary.totals
    wanted = (
        percent(totals.saved_percent), size(totals.origin_bytes), size(totals.link_bytes + totals.refetch_bytes),
        "512 kbit/s, as configured", "KES", "must stay real: text, chart, screenshot", "too-small", "thumbnail",
        "measured by the upstream proxy", "daily-news.org", report.subscribers[0].key[0], "p99", "1.2.3",
        "The one before", f"{report.quality.p50:.2f}" if report.quality else "-",
    )  # fmt: skip
    for text in wanted:
        assert text in seen, text


def test_it_is_one_small_file_that_loads_nothing(document: str) -> None:
    found = outline(document)
    assert len(document.encode()) < 300_000
    assert all(reference.startswith(("#", "data:image/svg+xml,")) for reference in found.references)
    assert "script" not in found.tags and not re.search(r"url\((?!#)|@import|\son\w+=", document)
    assert "default-src 'none'" in document


def test_references_inside_it_hold(document: str) -> None:
    found = outline(document)
    assert len(found.ids) == len(set(found.ids))
    inside = {name[1:] for name in found.references if name.startswith("#")}
    labels = set(re.findall(r'aria-labelledby="([^"]+)"', document)) | set(re.findall(r"url\(#([^)]+)\)", document))
    assert inside | labels <= set(found.ids) and len(inside) > 8


def test_charts_follow_the_theme_and_have_a_text(document: str) -> None:
    drawings = re.findall(r"<svg .*?</svg>", document, flags=re.DOTALL)
    assert len(drawings) == 5
    for drawing in drawings:
        assert re.match(r'<svg role="img" aria-label="[^"]{20,}"', drawing) and "var(--leaf)" in drawing
        assert set(re.findall(r"(?:fill|stroke|color): ?(#\w+)", drawing)) <= {"#ffffff"}  # what is clipped or covered
    assert document.count("<figure>") == 4 == document.count("<figcaption>")


def test_the_same_figures_give_the_same_file(report: Report) -> None:
    assert render(report) == render(report)


def test_without_matplotlib_there_are_tables(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "available", lambda: False)
    found = outline(render(report))
    assert "svg" not in found.tags and "tables only" in " ".join(found.seen)
    assert percent(report.summary.totals.saved_percent) in " ".join(found.seen)


def test_a_shared_one_names_nobody(report: Report, village: Path) -> None:
    shared = gather(village, Wanted(NOW_S + 1, Scope(), PRICES, 1_000, shared=True, quality_place=village))
    document = render(shared)
    assert not re.search(r"\b0{12}\w{4}\b", document) and "daily-news.org" not in document
    assert re.search(r"\b0{12}\w{4}\b", render(report))  # that is what they look like


def test_nothing_recorded_and_nothing_known(tmp_path: Path) -> None:
    Ledger(tmp_path / "l.sqlite").close()
    wanted = Wanted(NOW_S)
    assert "Nothing was recorded" in render(gather(tmp_path / "l.sqlite", wanted))
    ledger = Ledger(tmp_path / "l.sqlite")
    ledger.record(Row(time_s=NOW_S - 5, role="downstream", decision="passed", origin_bytes=100, link_bytes=400))
    ledger.close()
    found = gather(tmp_path / "l.sqlite", wanted)
    seen = " ".join(outline(render(found, found)).seen)
    assert "300 %" in seen and "more bytes crossed the link" in seen
    assert "no price is set" in seen and "rate is not known" in seen


def test_names_are_escaped(report: Report) -> None:
    group = report.summary.by_content_type[0]
    evil = replace(group, key=("<script>alert(1)</script>",))
    found = replace(
        report, summary=replace(report.summary, by_content_type=(evil,), by_mode=(evil,), by_engine=(evil,))
    )
    assert "<script" not in render(found)
