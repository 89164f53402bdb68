import io
import json
from pathlib import Path

import pytest
from PIL import Image
from skimage import data as samples

from evaluation.salient import LABELS, NEVER_GENERATED, THINGS, boxes_of, examine, report, run, share


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.fromarray(samples.coffee()).save(tmp_path / "coffee.jpg", quality=90)
    return tmp_path


def test_the_labels_are_well_formed() -> None:
    labels = json.loads(LABELS.read_text(encoding="utf-8"))
    assert len(labels) >= 60
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


def test_small_text_is_not_counted() -> None:
    assert len(boxes_of({"text": [[0, 0, 90, 12], [0, 0, 90, 13]]}, "text")) == 1


def test_a_folder_without_labelled_images_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="labelled"):
        run(folder)
