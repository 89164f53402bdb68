"""`sketchwire inspect`: sections that add up, pictures, and exports that other programs read."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from proxy.bundle import pixels, unpack
from proxy.bundle.imagefile import encode_image
from proxy.bundle.provenance import Source, provenance_of, xmp_packet
from proxy.cli import app
from proxy.cli.inspect import _MEANING
from proxy.cli.terminal import Picture, edges_as_picture

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.swb"))


def invoke(*words: object) -> Any:
    return CliRunner().invoke(app, ["inspect", *map(str, words)])


def golden(name: str) -> Path:
    return next(path for path in GOLDEN if path.stem == f"v1-{name}")


@pytest.mark.parametrize("file", GOLDEN, ids=lambda path: path.stem)
def test_sections_add_up_to_the_file(file: Path) -> None:
    found = json.loads(invoke(file, "--json").stdout)
    size = file.stat().st_size
    assert found["bytes"] == size == sum(section["bytes"] for section in found["sections"])
    assert sum(section["percent"] for section in found["sections"]) == pytest.approx(100, abs=0.1)
    result = invoke(file, "--pictures")
    assert result.exit_code == 0 and "▀" in result.stdout


def test_the_prompt_is_shown(tmp_path: Path) -> None:
    text = json.loads(invoke(golden("prompt"), "--json").stdout)["prompt"]["text"]
    assert text.split()[0] in invoke(golden("prompt")).stdout
    assert json.loads(invoke(golden("page-words"), "--json").stdout)["prompt"] == {"text": None, "from_page": True}
    assert "page's own words" in invoke(golden("page-words")).stdout


def test_pictures_are_drawn_in_terminals_only_by_default() -> None:
    assert "▀" not in invoke(golden("edges")).stdout


def test_parts_are_exported_as_standard_files(tmp_path: Path) -> None:
    for name in ("edges+palette", "salient", "thumbnail", "prompt"):
        result = invoke(golden(name), "--export", tmp_path / name)
        assert result.exit_code == 0 and f"wrote {tmp_path / name / 'preview.png'}" in result.stdout
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert {"edges+palette/edges.jb2", "edges+palette/palette.webp", "prompt/prompt.txt"} <= files
    assert any(file.startswith("salient/crops.") for file in files)
    assert any(file.startswith("thumbnail/thumbnail.") for file in files)
    bundle = unpack(golden("edges+palette").read_bytes())
    assert bundle.palette is not None
    with Image.open(tmp_path / "edges+palette" / "palette.webp") as palette:
        assert np.array_equal(np.asarray(palette.convert("RGB")), pixels.picture_rgb(bundle.palette))
    with Image.open(tmp_path / "edges+palette" / "preview.png") as preview:
        assert preview.size == (bundle.width_px, bundle.height_px)
    assert (tmp_path / "edges+palette" / "edges.jb2").read_bytes().startswith(b"\x97JB2\r\n\x1a\n")


def test_exports_do_not_overwrite_without_force(tmp_path: Path) -> None:
    (tmp_path / "preview.png").write_bytes(b"precious")
    result = invoke(golden("edges"), "--export", tmp_path)
    assert result.exit_code == 2 and (tmp_path / "preview.png").read_bytes() == b"precious"
    assert not (tmp_path / "edges.jb2").exists()
    assert invoke(golden("edges"), "--export", tmp_path, "--force").exit_code == 0


def test_json_lists_the_exports(tmp_path: Path) -> None:
    found = json.loads(invoke(golden("edges"), "--json", "--export", tmp_path).stdout)
    assert str(tmp_path / "edges.jb2") in found["exported"]


@pytest.mark.parametrize("content", [b"", b"not a bundle at all", b"\xff" * 100])
def test_what_is_no_bundle_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.swb").write_bytes(content)
    result = invoke(tmp_path / "x.swb")
    assert result.exit_code == 1 and result.stdout == "" and len(result.stderr.splitlines()) == 1


def test_a_truncated_bundle_is_one_line_at_every_length(tmp_path: Path) -> None:
    data = golden("prompt").read_bytes()
    for length in range(0, len(data), 7):
        (tmp_path / "x.swb").write_bytes(data[:length])
        result = invoke(tmp_path / "x.swb")
        assert result.exit_code == 1 and result.stderr.startswith("sketchwire: ")


def test_a_picture_is_two_pixels_a_cell() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="truecolor", width=40)
    rgb = np.zeros((3, 2, 3), np.uint8)
    rgb[0], rgb[1], rgb[2] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    console.print(Picture(rgb, 40))
    first, second = out.getvalue().splitlines()[:2]
    assert first.count("▀") == 2 and "38;2;255;0;0" in first and "48;2;0;255;0" in first
    assert "38;2;0;0;255" in second and "48;2" not in second


def test_a_large_picture_is_made_to_fit() -> None:
    picture = Picture(np.zeros((1000, 2000, 3), np.uint8), columns=60, rows=20)
    assert picture.pixels.shape == (30, 60, 3)


def test_thin_lines_survive_when_edges_are_made_smaller() -> None:
    edges = np.zeros((500, 777), np.bool_)
    edges[250, :] = True
    small = edges_as_picture(edges, 70, 30)
    assert small.shape[1] <= 70 and small.shape[0] <= 60
    assert int((small[..., 0] == 255).sum()) == small.shape[1]


@pytest.mark.parametrize("name", ["cat.webp", "cat.jpg", "cat.png"])
def test_a_drawn_picture_says_where_it_comes_from(tmp_path: Path, name: str) -> None:
    media_type = {"webp": "image/webp", "jpg": "image/jpeg", "png": "image/png"}[name.partition(".")[2]]
    told = provenance_of(unpack(golden("thumbnail").read_bytes()), "sketch@0123abcd")
    file = tmp_path / name
    file.write_bytes(encode_image(np.zeros((8, 8, 3), np.uint8), media_type, 90, xmp_packet(told)))
    shown = invoke(file)
    assert shown.exit_code == 0 and "real pixels" in shown.stdout and "sketch@0123abcd" in shown.stdout
    found = json.loads(invoke(file, "--json").stdout)
    assert found["digital_source_type"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert found["original_sha256_prefix"] == (told.original_sha256.hex() if told.original_sha256 else None)


def test_other_pictures_are_no_bundles(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(encode_image(np.zeros((8, 8, 3), np.uint8), "image/jpeg"))
    result = invoke(file)
    assert result.exit_code == 1 and "says nothing" in result.stderr


def test_every_source_is_explained() -> None:
    assert set(_MEANING) == set(Source)
