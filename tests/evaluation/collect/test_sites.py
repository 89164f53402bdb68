from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.collect.sites import Site, read_sites, walks


def _file(folder: Path, *lines: str, name: str = "sites.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_list_as_crux_publishes_it(tmp_path: Path) -> None:
    file = _file(tmp_path, "origin,rank", "https://a.example,1000", "B.example/,5000", "https://a.example,9000", "")
    assert read_sites(file) == [Site("https://a.example", 1000, "web"), Site("https://b.example", 5000, "web")]


def test_categories_from_a_column_and_from_a_file_that_overrides_it(tmp_path: Path) -> None:
    file = _file(tmp_path, "rank,category,origin", "1,News & Media,a.example", "1,Shops,b.example", "1,,c.example")
    other = _file(tmp_path, "origin,category", "https://b.example,Food", name="other.csv")
    assert [s.category for s in read_sites(file, other)] == ["news-media", "food", "web"]


def test_refusals_name_file_and_line(tmp_path: Path) -> None:
    for lines, why in (
        (("site,rank", "a.example,1"), "column origin"),
        (("origin,rank", "a.example,first"), "line 2: the rank"),
        (("origin", "a.example", "ftp://b.example"), "line 3: 'ftp://b.example'"),
        (("origin", "https://a.example/path"), "not an origin"),
        (("origin", "https://me:secret@a.example"), "not an origin"),
        (("origin", "https://a.example:99999"), "line 2"),
        (("origin",), "no sites"),
    ):
        with pytest.raises(ValueError, match=why):
            read_sites(_file(tmp_path, *lines))
    other = _file(tmp_path, "origin,category", "x.example,food", name="other.csv")
    with pytest.raises(ValueError, match=r"https://x\.example is not in"):
        read_sites(_file(tmp_path, "origin", "a.example"), other)


def test_walks_take_turns_from_each_rank_in_an_order_drawn_by_the_seed() -> None:
    sites = [Site(f"https://{r}-{n}.example", r, c) for c in ("food", "news") for r in (1000, 5000) for n in range(5)]
    sites = [Site(f"{s.origin}.{s.category}", s.rank, s.category) for s in sites]
    first = walks(sites, 1)
    assert set(first) == {"food", "news"}
    assert [s.rank for s in first["food"]] == [1000, 5000] * 5
    assert first == walks(list(reversed(sites)), 1) != walks(sites, 2)
    fewer = walks([s for s in sites if "5000-2" not in s.origin], 1)
    assert [s for s in first["food"] if s.rank == 5000 and "5000-2" not in s.origin] == [
        s for s in fewer["food"] if s.rank == 5000
    ]
