from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.sets.folder import items


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "eval" / "web"
    (data / "deep").mkdir(parents=True)
    for name in ("b.png", "a.jpg", "deep/c.WEBP", "notes.txt"):
        (data / name).write_bytes(name.encode())
    rows = [{"file": "web/a.jpg", "caption": "  a  cat ", "set": "pets", "licence": "CC0"}, {"file": "web/gone.jpg"}]
    (data.parent / "index.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return data


def test_a_folder_in_order_with_what_the_manifest_beside_it_knows(folder: Path) -> None:
    found = items(folder)
    assert [i.name for i in found] == ["a.jpg", "b.png", "deep/c.WEBP"]
    assert (found[0].caption, found[0].category, found[0].licence) == ("a cat", "pets", "CC0")
    assert found[1].caption == ""


def test_a_manifest_lists_what_it_lists(folder: Path) -> None:
    assert [i.name for i in items(folder.parent / "index.jsonl")] == ["a.jpg", "gone.jpg"]


def test_a_limit_spreads_evenly_and_smaller_ones_are_within_larger(folder: Path) -> None:
    for number in range(20):
        (folder / f"n{number:02}.png").write_bytes(b"")
    for name in ("a.jpg", "b.png", "deep/c.WEBP"):
        (folder / name).unlink()
    assert [i.name for i in items(folder, 4)] == ["n00.png", "n05.png", "n10.png", "n15.png"]
    assert set(items(folder, 5)) <= set(items(folder, 10)) <= set(items(folder))
    assert len(items(folder, 99)) == 20


def test_content_and_words_make_the_digest(folder: Path) -> None:
    first, second, _ = items(folder)
    assert first.digest() == items(folder)[0].digest() != second.digest()
    before = first.digest()
    (folder / "a.jpg").write_bytes(b"other")
    assert items(folder)[0].digest() != before
    before = items(folder)[0].digest()
    (folder.parent / "index.jsonl").write_text(json.dumps({"file": "web/a.jpg", "caption": "a dog"}))
    assert items(folder)[0].digest() != before


def test_refusals(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images"):
        items(_empty(tmp_path))
    (folder.parent / "index.jsonl").write_text('{"caption": "no file"}\n')
    with pytest.raises(ValueError, match="line 1"):
        items(folder)


def _empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"
