"""Curves, modes and ablations on two small photographs, without weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("imagecodecs")

from evaluation.commands import evaluate
from evaluation.metrics.measure import VARIABLE
from evaluation.paper import image as paper_image
from evaluation.rd import points, summary
from evaluation.rd.image import MODES, Plan, look
from evaluation.runs.schedule import Outcome
from evaluation.sets.folder import Item
from proxy.encode.request import AUTO, SALIENT, THUMBNAIL


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from skimage.data import coffee, rocket

    path = tmp_path_factory.mktemp("set")
    Image.fromarray(coffee()[:240, :360]).save(path / "a.png")
    Image.fromarray(np.ascontiguousarray(rocket()[:240, :360])).save(path / "b.png")
    (path / "c.png").write_bytes((path / "a.png").read_bytes()[:2000])
    return path


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    paper_image.measure_with.cache_clear()


def test_the_command_makes_the_report(folder: Path, tmp_path: Path) -> None:
    options = ["--engines", "preview", "--view", "160", "--no-ocr", "--no-detect", "--workers", "1", "--sheets", "1"]
    done = CliRunner().invoke(evaluate, ["rd", "--data", str(folder), "--out", str(tmp_path), *options])
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "report.json").read_text())
    page = (tmp_path / "report.html").read_text()
    found = document["summary"]
    assert found["images"] == 2 and list(found["broken"]) == ["c.png"] and "c.png" in page
    assert document["skipped"] == ["lpips_alex", "dists", "vgg16", "ocr", "face"]
    assert document["metrics"] == ["ms_ssim", "psnr"]
    families = set(found["curves"]["ms_ssim"])
    assert families == {"preview", *points.ANCHORS}
    for family in families:
        values = [p["value"] for p in found["curves"]["psnr"][family]]
        assert values == sorted(values) and len(values) >= 2
    against = {row["anchor"]: row["psnr"] for row in found["bd_rates"]}
    assert set(against) == {*points.ANCHORS, summary.BEST_CLASSICAL} and any(against.values())
    assert [row["mode"] for row in found["modes"]] == list(MODES)
    assert page.count("<svg") == 2 and "BD-rates" in page
    rows = {(row["base"], row["section"]): row for row in found["ablations"]}
    assert rows["paper", "edges"]["bytes"]["value"] < 0
    assert rows["paper", "prompt"]["ms_ssim"]["change"]["value"] == 0  # the preview reads no words


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(evaluate, ["rd", "--data", str(tmp_path), "--out", str(tmp_path / "o")])
    assert done.exit_code == 2 and "no images" in done.output
    Image.new("RGB", (64, 64)).save(tmp_path / "x.png")
    for option, words in (("--engines", "no engine works here"), ("--metrics", "unknown metric")):
        done = CliRunner().invoke(
            evaluate, ["paper", "--data", str(tmp_path), "--out", str(tmp_path / "o"), option, "nothing"]
        )
        assert done.exit_code == 2 and words in " ".join(done.output.split()), done.output


def test_points_stay_under_the_highest_rate(folder: Path) -> None:
    with Image.open(folder / "a.png") as picture:
        rgb = np.asarray(picture.convert("RGB").resize((120, 80)))
    limit = points.MAX_BPP * 120 * 80 / 8
    classical, ours = list(points.classical(rgb)), list(points.ours(rgb, ["preview"]))
    assert {family for family, _ in classical} <= set(points.ANCHORS) and ours
    assert all(c.size_bytes <= limit and c.picture.shape == rgb.shape for _, c in (*classical, *ours))
    assert any("÷8" in c.setting for _, c in classical) and any("÷2" in c.setting for _, c in classical)


def _outcome(name: str, auto: dict[str, Any], fixed: dict[str, Any]) -> Outcome:
    record = {"original_bytes": 1000, "modes": {m: dict(fixed) for m in MODES} | {AUTO: auto}, "ablations": {}}
    return Outcome(Item(Path(name), name), record)


def test_what_auto_delivers_counts_originals_where_it_declines() -> None:
    cost = {"encode_cpu_ms": 1.0, "kind": "photograph"}
    made = {**cost, "bytes": 100, "sections": {"thumbnail": 100}, "vgg16": 0.8}
    fixed = {**cost, "bytes": 150, "sections": {"thumbnail": 150}, "vgg16": 0.9}
    outcomes = [_outcome("a", made, fixed), _outcome("b", {**cost, "reason": "kind: graphic: so"}, fixed)]
    found = summary.summarise(outcomes, ["vgg16"], ["preview"])
    auto = next(row for row in found["modes"] if row["mode"] == AUTO)
    assert (auto["made"], auto["declined"], auto["delivered_bytes"]) == (1, {"kind": 1}, 1100)
    assert auto["saved_total"] == pytest.approx(0.45)
    row = next(r for r in found["auto"] if r["mode"] == THUMBNAIL)
    assert (row["auto_bytes"], row["mode_bytes"], row["auto_smaller"]) == (1100, 300, 0.5)
    assert row["vgg16"]["auto"]["value"] == pytest.approx(0.9) and row["vgg16"]["auto_no_worse"] == 0.5
    assert [w["image"] for w in found["worst"]] == ["a"] and found["sections"][SALIENT] == {"thumbnail": 150}


def test_curves_are_means_over_images_that_every_family_shown_reaches() -> None:
    def record(offset: float, most: int) -> dict[str, Any]:
        rows = [
            {"family": f, "bytes": size, "psnr": 20 + offset + size / 100}
            for f in ("preview", "webp")
            for size in (25, 100, 400, most)
            if f == "preview" or size <= most
        ]
        return {"pixels": 8000, "points": rows}

    found = summary.curves([record(0, 400), record(2, 400)], "psnr", ["preview", "webp"])
    at_tenth = next(p for p in found["preview"] if p["bpp"] == 0.12)
    assert at_tenth["count"] == 2 and 21 < at_tenth["value"] < 24
    missing = [{"pixels": 8000, "points": [{"family": "preview", "bytes": 25, "psnr": 20}]}]
    alone = summary.curves(missing, "psnr", ["preview", "webp"])
    assert alone["webp"] == [] and {p["value"] for p in alone["preview"]} == {20}
    twice = summary.curves([record(0, 400)] * 19 + missing, "psnr", ["preview", "webp"])
    assert {p["count"] for p in twice["webp"]} == {19} == {p["count"] for p in twice["preview"] if p["bpp"] > 0.03}


def test_a_record_has_no_section_left_out_twice(folder: Path) -> None:
    plan = Plan(engines=("preview",), metrics=("psnr",), view_px=96, detect=False, curves=False, ocr=False)
    record = look(Item(folder / "b.png", "b.png", "a rocket"), plan)
    assert "points" not in record
    whole = record["ablations"]["paper"]["whole"]
    for section, row in record["ablations"]["paper"]["without"].items():
        assert section not in row["sections"]
        assert whole["bytes"] - row["bytes"] == whole["sections"][section]
