"""Rows find their images, sums add up, and what went wrong is said."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from proxy.demo.browser import Screenshots
from proxy.demo.gallery import write_gallery
from proxy.demo.results import ImageResult, image_result, match_rows, totals
from proxy.demo.run import report
from proxy.demo.site import DemoImage, DemoPage, DemoSite
from proxy.demo.table import outcome, percent, results_table, size
from proxy.demo.visit import Delivered
from proxy.ledger.row import Decision, Row


def image(name: str, size_bytes: int, real: bool = False) -> DemoImage:
    kind = "chart" if real else "photo"
    path = f"/images/{name}.jpg"
    return DemoImage(
        name, path, kind, real, "image/jpeg", 8, 6, size_bytes, f"{name}'s alt", "caption", "who <b>", "CC0"
    )


def row(origin_bytes: int, decision: Decision = "reconstructed", link_bytes: int = 50, refetch_bytes: int = 0) -> Row:
    return Row(
        time_s=0.0, role="downstream", decision=decision, origin_bytes=origin_bytes, link_bytes=link_bytes,
        refetch_bytes=refetch_bytes, mode="thumbnail", engine="sketch@12", encode_ms=20.0, reconstruct_ms=30.0,
        reason="" if decision == "reconstructed" else "kind",
    )  # fmt: skip


def delivered(name: str, size_bytes: int, real: bool = False, body: bytes = b"new", problem: str = "") -> Delivered:
    return Delivered(image(name, size_bytes, real), body, "image/webp", 12.0, problem)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "original.jpg"
    path.write_bytes(b"original")
    return path


def test_rows_are_matched_in_order_and_others_passed_over() -> None:
    rows = [row(7), row(1000), row(8), row(2000), row(9)]
    matched = match_rows([delivered("a", 1000), delivered("b", 2000)], rows)
    assert [r.origin_bytes for r in matched if r] == [1000, 2000]


def test_an_image_without_a_row_does_not_take_anothers() -> None:
    matched = match_rows([delivered("a", 1000), delivered("b", 2000)], [row(2000)])
    assert matched[0] is None and matched[1] is not None


def test_a_missing_row_and_a_wrongly_drawn_image_are_problems(original: Path) -> None:
    assert image_result(delivered("a", 1000), None, original).problem == "there is no ledger row"
    wrong = image_result(delivered("a", 1000, real=True), row(1000), original)
    assert "must stay real" in wrong.problem and outcome(wrong).startswith("broken")
    right = image_result(delivered("a", 1000, real=True, body=b"original"), row(1000, "skipped"), original)
    assert right.problem == "" and right.unchanged and outcome(right) == "as it is: kind"


def test_totals(original: Path) -> None:
    results = [
        image_result(delivered("a", 1000), row(1000, link_bytes=100), original),
        image_result(delivered("b", 1000), row(1000, link_bytes=100, refetch_bytes=1000), original),
        image_result(delivered("c", 2000), row(2000, "preview", 50), original),
        image_result(delivered("d", 500, real=True), row(500, "skipped", 600), original),
        image_result(delivered("e", 500, real=True), row(500, "preview", 600), original),
    ]
    sums = totals(results, 1234.56)
    assert (sums.images, sums.eligible, sums.reconstructed, sums.previewed, sums.skipped) == (5, 3, 4, 2, 1)
    assert (sums.broken, sums.wrongly_drawn) == (1, 1)
    assert (sums.eligible_origin_bytes, sums.eligible_link_bytes) == (4000, 1250)
    assert (sums.origin_bytes, sums.link_bytes, sums.delivered_bytes) == (5000, 2450, 15)
    assert sums.eligible_saved_percent == 68.75 and sums.saved_percent == 51.0 and sums.ms == 1234.6
    assert sums.engine == "sketch@12"


def test_nothing_at_all_has_totals() -> None:
    assert totals([], 0.0).saved_percent == 0.0


def test_sizes_and_percentages_read_well() -> None:
    assert [size(n) for n in (0, 999, 1000, 123456)] == ["0 B", "999 B", "1.0 kB", "123.5 kB"]
    assert [percent(n) for n in (95.55, -3.2)] == ["95.5 %", "−3.2 %"]


class Balanced(HTMLParser):
    """Checks that tags close in order, and collects addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "img", "input"):
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def results(original: Path) -> list[ImageResult]:
    return [
        image_result(delivered("drawn", 1000), row(1000), original),
        image_result(delivered("kept", 2000, real=True, body=b"original"), row(2000, "skipped", 2100), original),
        image_result(delivered("lost", 3000, body=b"", problem="<status 502>"), None, original),
    ]


def test_gallery_is_well_formed_and_needs_nothing_else(tmp_path: Path, results: list[ImageResult]) -> None:
    site = DemoSite(tmp_path / "site", (DemoPage("/index.html", "Front"),), tuple(r.image for r in results))
    (site.folder / "images").mkdir(parents=True)
    for result in results:
        site.file(result.image.path).write_bytes(b"original")
    folder = tmp_path / "gallery"
    shots = [Screenshots("Front <page>", folder / "pages" / "a.png", folder / "pages" / "b.png")]
    (folder / "pages").mkdir(parents=True)
    for shot in (shots[0].before, shots[0].after):
        Image.new("RGB", (4, 4)).save(shot)
    page = write_gallery(folder, site, results, totals(results, 1.0), shots)
    html = page.read_text(encoding="utf-8")
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    assert "&lt;status 502&gt;" in html and "who &lt;b&gt;" in html and "Front &lt;page&gt;" in html
    assert "://" not in html
    local = [address for address in parser.addresses if address != "data:,"]
    assert {"original/drawn.jpg", "delivered/drawn.webp", "original/kept.jpg", "pages/a.png"} <= set(local)
    assert "delivered/kept.webp" not in local, "an unchanged image is shown once"
    assert all((folder / address).is_file() for address in local)


def test_table_and_report_name_every_image(results: list[ImageResult]) -> None:
    console = Console(width=140, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(results_table(results, totals(results, 5.0)))
    text = captured.get()
    for expected in (
        "drawn: thumbnail",
        "as it is: kind",
        "broken: <status 502>",
        "2 photographs",
        "95.0 %",
    ):
        assert expected in text
    assert '"name": "lost"' in report(results, totals(results, 5.0))


def test_markup_in_a_problem_is_not_interpreted(results: list[ImageResult]) -> None:
    odd = replace(results[2], problem="[red]x[/nothing]")
    console = Console(width=140)
    with console.capture() as captured:
        console.print(results_table([odd], totals([odd], 1.0)))
    assert "[red]x[/nothing]" in captured.get()
