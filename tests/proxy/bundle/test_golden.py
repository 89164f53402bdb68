"""Bundles written once must be readable for ever."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from proxy.bundle import pack, unpack
from proxy.bundle.pixels import edge_map
from proxy.bundle.preview import render

GOLDEN = Path(__file__).parents[2] / "golden"
FILES = sorted(GOLDEN.glob("v1-*.swb"))
LATER = ("segmentation", "style", "normal", "kind")  # optional sections that are younger than these files


def test_there_is_one_of_each_kind() -> None:
    assert {file.stem for file in FILES} == {
        f"v1-{kind}" for kind in ("prompt", "page-words", "edges", "edges+palette", "thumbnail", "salient")
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_golden_bundle_says_what_it_always_said(file: Path) -> None:
    bundle = unpack(file.read_bytes())
    expected = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    if bundle.edges is not None:
        assert edge_map(bundle.edges).sum(axis=1).tolist() == expected["edges"].pop("pixels_by_row")
    told = json.loads(json.dumps(asdict(bundle), default=lambda value: value.hex()))
    assert [told.pop(name) for name in LATER] == [None] * len(LATER)
    assert told == expected
    assert unpack(pack(bundle)) == bundle
    assert render(bundle).shape == (400, 600, 3)
