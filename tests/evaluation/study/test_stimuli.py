from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("imagecodecs")
pytest.importorskip("torch")

from evaluation.metrics.measure import VARIABLE
from evaluation.sets.folder import items
from evaluation.study.stimuli import OURS, build, read


def test_versions_at_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skimage.data import coffee

    monkeypatch.delenv(VARIABLE, raising=False)
    data = tmp_path / "data"
    data.mkdir()
    Image.fromarray(coffee()[100:292, 100:388]).save(data / "cup.png")
    Image.fromarray(np.zeros((64, 64, 4), np.uint8)).save(data / "clear.png")
    (data / "broken.png").write_bytes((data / "cup.png").read_bytes()[:900])
    made, left_out = build(items(data), tmp_path / "study", 0.12, 192, None)
    assert set(left_out) == {"clear.png", "broken.png"} and made == read(tmp_path / "study")
    cup = made.image("cup.png")
    ours = cup.conditions[OURS]
    assert set(cup.conditions) >= {OURS, "webp"} and cup.best in set(cup.conditions) - {OURS}
    assert all(300 // 2 < shown.size_bytes <= ours.size_bytes for shown in cup.conditions.values())
    sizes = set()
    for condition in cup.conditions:
        with Image.open(made.file("cup.png", condition)) as picture:
            sizes.add(picture.size)
    assert sizes == {(192, 128)}
    with Image.open(made.file("cup.png", "original")) as picture:
        assert picture.size == (192, 128)
    with pytest.raises(KeyError):
        made.image("other.png")


def test_folders_that_are_no_stimuli(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no stimuli"):
        read(tmp_path)
    (tmp_path / "stimuli.json").write_text('{"engine": "x", "chosen_by": "x", "budget_bpp": 1, "images": []}')
    with pytest.raises(ValueError, match="lists no images"):
        read(tmp_path)
