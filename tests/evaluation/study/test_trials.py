from __future__ import annotations

from collections import Counter
from dataclasses import replace

from evaluation.study.stimuli import ORIGINAL, OURS, Stimuli
from evaluation.study.trials import trials


def test_a_seed_draws_the_questions(stimuli: Stimuli) -> None:
    first = trials(stimuli, 5, 8)
    assert first == trials(stimuli, 5, 8) != trials(stimuli, 6, 8)
    assert [trial.number for trial in first] == list(range(24))
    assert "".join(trial.section for trial in first) == "A" * 8 + "B" * 8 + "C" * 8


def test_every_image_and_version_as_often_as_any_other(stimuli: Stimuli) -> None:
    asked = trials(stimuli, 1, 12)
    ratings = [t for t in asked if t.section == "A"]
    assert set(Counter(t.image for t in ratings).values()) == {2}
    shown = Counter(t.left for t in ratings)
    assert shown[ORIGINAL] == 1 and abs(shown[OURS] - shown["webp"]) <= 1 and sum(shown.values()) == 12
    meaning = [t for t in asked if t.section == "B"]
    assert {t.left for t in meaning} == {OURS, "webp"} and "5.png" not in {t.image for t in meaning}


def test_pairs_have_two_versions_and_take_both_sides(stimuli: Stimuli) -> None:
    pairs = [t for seed in range(40) for t in trials(stimuli, seed, 10) if t.section == "C"]
    assert all(t.left != t.right and ORIGINAL not in (t.left, t.right) for t in pairs)
    main = [t for t in pairs if {t.left, t.right} == {OURS, "webp"}]
    assert len(main) >= len(pairs) / 2
    assert 0.4 < sum(t.left == OURS for t in main) / len(main) < 0.6
    assert len({frozenset((t.left, t.right)) for t in pairs}) == 6


def test_sections_for_which_there_is_nothing_are_left_out(stimuli: Stimuli) -> None:
    wordless = replace(stimuli, images=tuple(replace(image, words="") for image in stimuli.images))
    assert {trial.section for trial in trials(wordless, 1, 4)} == {"A", "C"}
