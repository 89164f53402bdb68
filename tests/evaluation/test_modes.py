import json
from pathlib import Path

import pytest
from PIL import Image
from skimage import data as samples
from typer.testing import CliRunner

from evaluation import modes
from proxy.cli import app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    Image.fromarray(samples.coffee()).save(tmp_path / "coffee.jpg", quality=85)
    Image.fromarray(samples.rocket()).save(tmp_path / "deep" / "rocket.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(3000))
    return tmp_path


def test_every_mode_is_measured_and_broken_files_are_counted(folder: Path) -> None:
    outcomes = modes.measure(modes.images_in(folder), 320, 1, lambda: None)
    results = {result.mode: result for result in modes.summarise(outcomes)}
    assert set(results) == set(modes.MODES)
    for mode, result in results.items():
        assert result.encoded + sum(result.declined.values()) == 3
        assert result.declined["broken"] == 1
        if mode != "auto":  # it alone may decline
            assert result.encoded == 2
            assert 0.9 < result.mean_saved < 1
    assert results["prompt"].median_bytes < results["edges"].median_bytes < results["edges+palette"].median_bytes


def test_the_command_prints_one_json_object(folder: Path) -> None:
    answer = CliRunner().invoke(app, ["evaluate", "modes", "--data", str(folder), "--limit", "1", "--json"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout.splitlines()[-1])["images"] == 1


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["evaluate", "modes", "--data", str(tmp_path)])
    assert answer.exit_code == 2
    assert "no images" in answer.output
