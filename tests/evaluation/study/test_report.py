from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from evaluation.study.analysis import analyse, strengths
from evaluation.study.answers import Answer
from evaluation.study.report import BANNER, write
from evaluation.study.stimuli import ORIGINAL, OURS, Stimuli


def _answers(people: int, simulated: bool = False) -> list[Answer]:
    """Ours is rated 8, WebP 4, the original 10; ours wins three times in four."""
    draw, found = random.Random(4), []
    for number in range(people):
        code = f"{'s' if simulated else 'p'}{number}"

        def put(section: str, left: str, right: str, value: str, code: str = code) -> None:
            found.append(Answer(code, section, "0.png", left, right, value, 2000, simulated))

        for shown, rating in ((OURS, 8), ("webp", 4), (ORIGINAL, 10)):
            put("A", shown, "", str(min(10, rating + draw.choice((-1, 0, 1)) * (shown != ORIGINAL))))
        put("B", OURS, "", "yes" if number % 5 else "partly")
        put("B", "webp", "", "no")
        for turn in range(4):
            left, right = (OURS, "webp") if turn % 2 else ("webp", OURS)
            put("C", left, right, "left" if (left == OURS) == (turn > 0) else "right")
    return found


def test_strengths_are_those_of_the_shares() -> None:
    found = strengths([("a", "b")] * 750 + [("b", "a")] * 250, ("a", "b"))
    assert found["a"] - found["b"] == pytest.approx(190.8, abs=1.5)  # 400 log10(3)
    assert found["a"] + found["b"] == pytest.approx(0, abs=1e-9)
    three = strengths([("a", "b")] * 9 + [("b", "a")] + [("b", "c")] * 9 + [("c", "b")], ("a", "b", "c"))
    assert three["a"] > three["b"] > three["c"]
    always = strengths([("a", "b")] * 5, ("a", "b"))
    assert 0 < always["a"] < 4000  # finite


def test_figures_and_intervals(stimuli: Stimuli) -> None:
    found = analyse(_answers(10), stimuli)
    ratings = found["ratings"]["figures"]
    assert list(ratings) == [OURS, "webp", ORIGINAL] and ratings[ORIGINAL]["value"] == 10
    assert ratings[OURS]["low"] < ratings[OURS]["value"] < ratings[OURS]["high"] < 10
    assert ratings[ORIGINAL]["low"] is ratings[ORIGINAL]["high"] is None  # all the same
    assert ratings["webp"]["high"] < ratings[OURS]["low"]
    assert sum(found["ratings"]["histogram"][OURS]) == 10 and found["ratings"]["drawn"] == "participants"
    assert found["meaning"]["figures"][OURS]["value"] == 0.8
    assert found["meaning"]["counts"]["webp"] == {"yes": 0, "partly": 0, "no": 10}
    chosen = found["preference"]["ours_chosen_over"]["figures"]
    assert chosen["best codec"]["value"] == chosen["webp"]["value"] == 0.75
    assert found["preference"]["left_chosen"] == 0.75
    assert (found["median_answer_s"], found["participants"], found["answers"]) == (2.0, 10, 90)
    assert analyse(_answers(10), stimuli) == found


def test_few_participants_draw_answers_and_one_answer_has_no_interval(stimuli: Stimuli) -> None:
    assert analyse(_answers(2), stimuli)["ratings"]["drawn"] == "answers"
    lone = analyse(_answers(1)[:1], stimuli)
    assert lone["ratings"]["figures"][OURS]["low"] is None and lone["preference"]["strength_elo"]["figures"] == {}


def test_people_and_simulated_raters_are_never_mixed(stimuli: Stimuli, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never taken together"):
        analyse(_answers(1) + _answers(1, simulated=True), stimuli)
    html, machine = write(stimuli, _answers(6) + _answers(3, simulated=True), tmp_path / "both")
    document = json.loads(machine.read_text())
    assert document["has_simulated_raters"] and document["note"] == BANNER
    assert {n: (g["simulated"], g["participants"]) for n, g in document["groups"].items()} == {
        "people": (False, 6), "simulated": (True, 3),
    }  # fmt: skip
    page = html.read_text()
    assert page.index(BANNER) < page.index("<h2>") and page.count("(simulated rater)") > 8
    assert page.count("<svg") == 10 and "http://" not in page.replace("http://www.w3.org", "")


def test_without_simulated_raters_there_is_no_banner(stimuli: Stimuli, tmp_path: Path) -> None:
    html, machine = write(stimuli, _answers(5), tmp_path / "people")
    assert "imulated" not in html.read_text() and not json.loads(machine.read_text())["has_simulated_raters"]
    with pytest.raises(ValueError, match="no answers"):
        write(stimuli, [], tmp_path / "none")
