"""The paper's experiments on three small photographs, without weights and with the engine that needs none."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("imagecodecs")

from evaluation.metrics.measure import VARIABLE
from evaluation.paper import image, known, outlines, run, summary
from evaluation.paper.image import MODES, PAPER_SALIENT, Plan, look
from evaluation.runs.experiment import HTML, JSON
from evaluation.runs.schedule import Outcome
from evaluation.sets.folder import Item, items
from proxy.bundle import jbig2
from proxy.encode.request import EDGES, EDGES_PALETTE, PROMPT, SALIENT

PLAN = Plan(engines=("preview", "no-such-engine"), view_px=96, papers_filter=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from skimage.data import astronaut, coffee

    path = tmp_path_factory.mktemp("set")
    Image.fromarray(coffee()[:300, :540]).save(path / "a.jpg", quality=92)
    Image.fromarray(astronaut()[:300]).save(path / "b.png")
    (path / "broken.jpg").write_bytes((path / "a.jpg").read_bytes()[:900])
    Image.new("RGB", (200, 100), "red").save(path / "small.png")
    Image.new("RGBA", (600, 300), (9, 9, 9, 0)).save(path / "transparent.png")
    (path / "index.jsonl").write_text(json.dumps({"file": "a.jpg", "caption": "a red cup of coffee on a table"}))
    return path


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    image.measure_with.cache_clear()


def _plain(value: Any) -> Any:
    """Without times, which no two runs share."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if not k.endswith("_ms")}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def test_interrupted_and_resumed_is_the_same_report(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = items(folder)
    html, machine = run.run(found, [], PLAN, tmp_path / "whole", 1)
    whole, page = json.loads(machine.read_text()), html.read_text()

    def stops(item: Item, plan: Plan) -> dict[str, Any]:
        if item.name == "b.png":
            raise KeyboardInterrupt
        return look(item, plan)

    monkeypatch.setattr(run, "look", stops)
    with pytest.raises(KeyboardInterrupt):
        run.run(found, [], PLAN, tmp_path / "twice", 1)
    assert not (tmp_path / "twice" / HTML).exists()
    seen: list[str] = []
    monkeypatch.setattr(run, "look", lambda item, plan: seen.append(item.name) or look(item, plan))
    run.run(found, [], PLAN, tmp_path / "twice", 1)
    assert "a.jpg" not in seen and "b.png" in seen
    assert _plain(json.loads((tmp_path / "twice" / JSON).read_text())) == _plain(whole)
    assert (tmp_path / "twice" / HTML).read_text() == page
    files = [(tmp_path / "twice" / name).read_bytes() for name in (HTML, JSON)]
    run.run(found, [], PLAN, tmp_path / "twice", 1)
    assert files == [(tmp_path / "twice" / name).read_bytes() for name in (HTML, JSON)]

    mine = whole["sets"]["representative"]
    assert (mine["images"], mine["captions"]) == (2, 1) and whole["sets"]["synthetic"] is None
    assert list(mine["broken"]) == ["broken.jpg"] and set(mine["left_out"]) == {"small.png", "transparent.png"}
    assert "broken.jpg" in page and "200×100 px" in page and "no such set was given" in page
    assert "no-such-engine" in whole["missing"] and whole["skipped"] == ["vgg16", "lpips_alex"]
    assert all("not_measured" in v for row in mine["table1"] for v in row["similarity"].values())
    assert mine["random_pairs"] is None and page.count("not measured") > 10
    rows = {row["mode"]: row for row in mine["table1"]}
    saved = [rows[m]["saved"]["mean"]["value"] for m in (PROMPT, EDGES, EDGES_PALETTE, PAPER_SALIENT)]
    assert saved == sorted(saved, reverse=True) and saved[0] > 0.99
    assert 0 < mine["tenth"]["jpeg"]["ssim"]["median"]["value"] < 1


def test_every_byte_counts_and_captions_are_bytes(folder: Path) -> None:
    item = items(folder)[0]
    record, silent = look(item, PLAN), look(Item(item.path, item.name), PLAN)
    for mode in MODES:
        assert sum(record["modes"][mode]["sections"].values()) == record["modes"][mode]["bytes"]
    assert record["modes"][PROMPT]["sections"]["prompt"] > 20
    assert record["modes"][PROMPT]["bytes"] != silent["modes"][PROMPT]["bytes"]
    edges, both = record["modes"][EDGES], record["modes"][EDGES_PALETTE]
    assert both["bytes"] - edges["bytes"] == both["sections"]["palette"]
    assert record["modes"][PROMPT]["engines"] == {}  # the preview does not draw from words
    assert 0 < record["modes"][EDGES_PALETTE]["engines"]["preview"]["ms_ssim"] < 1
    assert record["webp"][SALIENT]["scaled"]["ms_ssim"] > 0.5
    assert record["outlines"][outlines.OURS] < record["outlines"][outlines.JBIG2] < record["outlines"][outlines.PNG]


def test_full_size_outlines_are_opencvs_in_jbig2() -> None:
    import cv2
    from skimage.data import coffee

    rgb = np.ascontiguousarray(coffee()[:80, :120])
    lines = cv2.Canny(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), 100, 200) > 0
    found = outlines.costs(rgb, None)
    assert found[outlines.JBIG2] == len(jbig2.encode(lines, template=outlines.TEMPLATE))
    assert found[outlines.OURS] is None
    png = io.BytesIO()
    Image.fromarray(lines).save(png, "PNG", optimize=True)
    assert found[outlines.PNG] == len(png.getvalue())


def _record(vector: np.ndarray) -> dict[str, Any]:
    return {"vector": image._text(vector.astype(np.float32))}


def test_random_pairs_are_cosines_of_different_images() -> None:
    axes = [_record(np.eye(512)[i]) for i in range(12)]
    assert summary.random_pairs(axes)["mean"]["value"] == 0
    alike = [_record(np.eye(512)[0] * (i + 1)) for i in range(12)]
    found = summary.random_pairs(alike)
    assert (found["pairs"], found["mean"]["value"], found["within"]) == (50, pytest.approx(1), False)
    mixed = [_record(np.eye(512)[i] + 0.686) for i in range(12)]
    assert summary.random_pairs(mixed) == summary.random_pairs(mixed)
    assert summary.random_pairs([*axes[:2], {"vector": ""}]) is None


def test_a_third_is_within_the_papers_random_pairs() -> None:
    vectors = [np.r_[np.eye(16)[i], np.sqrt(0.5)] for i in range(12)]  # cosine 0.5 / 1.5
    found = summary.random_pairs([_record(v) for v in vectors])
    assert found["mean"]["value"] == pytest.approx(1 / 3, abs=1e-3) and found["within"]
    assert known.RANDOM_PAIRS == 0.32


def test_a_set_of_broken_images_still_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8\xff nothing")
    html, machine = run.run(items(tmp_path), [], Plan(engines=("preview",), view_px=64), tmp_path / "out", 1)
    assert json.loads(machine.read_text())["sets"]["representative"]["broken"].keys() == {"x.jpg"}
    assert "x.jpg" in html.read_text()


def test_patches_need_enough_of_them() -> None:
    outcomes = [Outcome(Item(Path("x"), "x"), None, "broken")]
    found = summary.summarise(outcomes, {"preview": "preview@0"}, {})
    assert found["patches"][SALIENT]["patches"] == 0 and found["broken"] == {"x": "broken"}
    features = image._text(np.random.default_rng(0).normal(size=(20, 512)).astype(np.float32))
    few = [{"patches": {"original": features, SALIENT: features}}]
    result = summary._patches(few, SALIENT)
    assert result["patches"] == 20 and "20 patches" in result["vgg16_patch_fid_skipped"]
    more = summary._patches(few * 13, SALIENT)
    assert more["patches"] == 260 and isinstance(more["vgg16_patch_kid"], float) and "vgg16_patch_fid" not in more
