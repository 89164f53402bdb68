"""What a replay counts, and when it says that the figures agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from evaluation.bench_ledger import measure
from evaluation.replay import Compared, Site, files_of

GOOD = Compared(
    requests=4, ledger_responses=4, origin_counted=1_000, origin_in_ledger=1_000, origin_in_upstreams_ledger=1_000,
    link_counted=10_000, link_in_ledger=10_050, refetched=0, saved_percent=1.0, decisions={}, wrong=[],
)  # fmt: skip


def test_figures_that_differ_do_not_agree() -> None:
    assert GOOD.agrees and GOOD.link_error == pytest.approx(0.005)
    for change in (
        {"link_in_ledger": 10_051}, {"link_in_ledger": 9_949}, {"origin_in_ledger": 999}, {"ledger_responses": 3},
        {"origin_in_upstreams_ledger": 1_001}, {"wrong": ["404 0 bytes for a.html"]},
    ):  # fmt: skip
        assert not replace(GOOD, **change).agrees


async def test_the_origin_counts_the_bodies_it_sends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "page.html").write_text("<p>words")
    (tmp_path / "pic.webp").write_bytes(b"12345")
    site = Site(files_of(tmp_path))
    assert {path: media_type for path, (media_type, _) in site.files.items()} == {
        "a/page.html": "text/html", "pic.webp": "image/webp",
    }  # fmt: skip
    async with TestClient(TestServer(site.app())) as client:
        assert await (await client.get("/a/page.html")).text() == "<p>words"
        assert (await client.get("/none")).status == 404
    assert site.requests == 2 and site.body_bytes == len("<p>words") + len("There is no such page.\n")
    with pytest.raises(ValueError, match="no files"):
        files_of(tmp_path / "empty")


def test_the_ledgers_bench_measures_what_it_wrote(tmp_path: Path) -> None:
    found = measure(tmp_path / "l.sqlite", 2_000, True)
    assert found["rows"] == 2_000 and found["dropped rows"] == 0
    assert all(found[name] > 0 for name in ("ingest rows/s", "report s", "week s", "subscriber s", "html s", "size MB"))
