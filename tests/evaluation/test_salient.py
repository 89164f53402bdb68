import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from skimage import data as samples

from evaluation.salient import LABELS, NEVER_GENERATED, THINGS, boxes_of, examine, labels_of, report, run, share


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.fromarray(samples.coffee()).save(tmp_path / "coffee.jpg", quality=90)
    return tmp_path


@pytest.mark.parametrize(("name", "least"), [("web", 60), ("kodak", 24), ("cid22", 12)])
def test_the_labels_are_well_formed(name: str, least: int) -> None:
    labels = json.loads((LABELS / f"{name}.json").read_text(encoding="utf-8"))
    assert len(labels) >= least
    for label in labels.values():
        assert label["kind"] in NEVER_GENERATED | {"photograph", "illustration"}
        for thing in THINGS:
            assert all(len(box) == 4 and min(box[2:]) > 0 for box in label.get(thing, []))


def test_a_missed_box_counts_and_is_named(folder: Path) -> None:
    outcome = examine(folder / "coffee.jpg", {"kind": "photograph", "faces": [[10, 10, 80, 90]]})
    assert outcome.generated and share([outcome], "faces") == (0, 1)
    assert any(line.startswith("missed: 1 of 1 faces") for line in report([outcome]))


def test_a_generated_chart_is_reported(folder: Path) -> None:
    outcome = examine(folder / "coffee.jpg", {"kind": "chart"})
    assert any(line.startswith("GENERATED although a chart") for line in report([outcome]))


def test_a_declined_image_is_all_real_pixels(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (400, 300), "white").save(out, "PNG")
    (tmp_path / "white.png").write_bytes(out.getvalue() + bytes(2000))
    outcome = examine(tmp_path / "white.png", {"kind": "graphic", "text": [[10, 10, 80, 20]]})
    assert not outcome.generated and share([outcome], "text") == (1, 1)


def test_crops_of_nothing_labelled_are_counted_with_their_bytes(tmp_path: Path) -> None:
    Image.fromarray(samples.astronaut()).save(tmp_path / "astronaut.jpg", quality=92)
    unlabelled = examine(tmp_path / "astronaut.jpg", {"kind": "photograph"})
    assert unlabelled.false_crops == ("face",) and unlabelled.false_bytes == unlabelled.crop_bytes > 0
    told = [line for line in report([unlabelled]) if "of nothing labelled" in line]
    assert told[0].startswith("crops of nothing labelled: 1 (face 1), 1.00 a bundle")
    labelled = examine(tmp_path / "astronaut.jpg", {"kind": "photograph", "faces": [[180, 75, 85, 115]]})
    assert labelled.false_crops == () and labelled.false_bytes == 0 and share([labelled], "faces") == (1, 1)


def test_boxes_are_scaled_with_their_image(tmp_path: Path) -> None:
    Image.fromarray(samples.astronaut()).resize((1024, 1024)).save(tmp_path / "astronaut.jpg", quality=92)
    outcome = examine(tmp_path / "astronaut.jpg", {"kind": "photograph", "faces": [[360, 150, 170, 230]]}, 512)
    assert share([outcome], "faces") == (1, 1) and outcome.false_crops == ()
    assert len(boxes_of({"text": [[0, 0, 90, 20]]}, "text", 0.5)) == 0


def test_costs_are_told_by_part(folder: Path) -> None:
    outcome = examine(folder / "coffee.jpg", {"kind": "photograph"})
    slow = replace(
        outcome, cpu_ms=1000.0, stage_ms={"detect": 700.0, "measure": 100.0, "open": 50.0, "classical": 50.0}
    )
    (line,) = [line for line in report([slow]) if line.startswith("CPU ms, searched")]
    assert (
        "median 1000, p95 1000; detectors median 700, p95 700; chooser median 100, p95 100; codecs median 100" in line
    )


def test_labels_are_those_of_the_folders_name(tmp_path: Path) -> None:
    assert labels_of(tmp_path / "kodak") == LABELS / "kodak.json"
    assert labels_of(tmp_path / "other") == LABELS / "web.json"


def test_small_text_is_not_counted() -> None:
    assert len(boxes_of({"text": [[0, 0, 90, 12], [0, 0, 90, 13]]}, "text")) == 1


def test_a_folder_without_labelled_images_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="labelled"):
        run(folder)
