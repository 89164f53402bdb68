from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evaluation.collect.chromium import find
from evaluation.commands import evaluate
from evaluation.study.answers import FILE
from evaluation.study.simulated import answer
from evaluation.study.stimuli import Stimuli


def test_what_a_simulated_rater_says_follows_from_what_is_shown() -> None:
    draw = random.Random(1)
    assert answer("C", {"left": 0.02, "right": 0.2}, draw) == "left"
    assert answer("C", {"left": 0.2, "right": 0.02}, draw) == "right"
    assert int(answer("A", {"left": 0.0}, draw)) >= 8 > int(answer("A", {"left": 0.06}, draw))
    assert answer("A", {"left": 0.5}, draw) == "1"
    assert (answer("B", {"left": 0.0}, draw), answer("B", {"left": 0.3}, draw)) == ("yes", "no")


@pytest.mark.skipif(find() is None, reason="needs Chromium")
def test_a_simulated_rater_takes_part_in_chromium(stimuli: Stimuli, tmp_path: Path) -> None:
    shots, folder = tmp_path / "shots", str(stimuli.folder)
    options = ["--study", folder, "--per-section", "4", "--seed", "5", "--shots", str(shots)]
    done = CliRunner().invoke(evaluate, ["study", "simulate", *options])
    assert done.exit_code == 0, done.output
    assert "12 answers by 1 simulated raters" in done.output
    database = sqlite3.connect(stimuli.folder / FILE)
    rows = database.execute('SELECT section, "left", "right", value, simulated FROM answers').fetchall()
    assert len(rows) == 12 and {row[4] for row in rows} == {1}
    places = {"original": 0, "sketch": 1, "webp": 2, "avif": 3, "jpegxl": 4}
    pairs = [
        (places[left] < places[right], value == "left") for section, left, right, value, _ in rows if section == "C"
    ]
    assert sum(less_noise == chosen for less_noise, chosen in pairs) >= 3
    assert {file.name for file in shots.iterdir()} == {
        f"{page}-{size}-{scheme}.png"
        for page in ("consent", "a", "b", "c", "thanks") for size in (390, 1280) for scheme in ("light", "dark")
    }  # fmt: skip
    done = CliRunner().invoke(evaluate, ["study", "report", "--study", folder])
    assert done.exit_code == 0, done.output
    assert list(json.loads((stimuli.folder / "report.json").read_text())["groups"]) == ["simulated"]
