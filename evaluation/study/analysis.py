"""What the answers say: mean ratings, shares of meaning kept, strengths by Bradley–Terry, each with an interval.

In: answers of one kind of rater. Out: figures by version as a JSON object. Refuses: to mix people and simulated raters
(`ValueError`); where there are no answers there is no figure, with few no interval.

Intervals are 95 %, by percentile bootstrap that draws participants, since the answers of one person are not
independent; with fewer than MIN_CLUSTERS participants it draws answers, and `drawn` says so. Where all answers are the
same, resampling knows nothing of their spread, and there is no interval. Bradley and Terry 1952,
fitted by `choix` (I-LSR, Maystre and Grossglauser 2015) with a small regularisation, so that a version that always won
has a finite strength; strengths are in Elo points (400 points: chosen ten times as often) around a mean of 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import choix
import numpy as np

from evaluation.stats import CONFIDENCE
from evaluation.study.answers import Answer
from evaluation.study.stimuli import ORIGINAL, OURS, Stimuli
from evaluation.study.trials import MEANING, MEANINGS, PREFERENCE, RATING

RESAMPLES = 1000
MIN_CLUSTERS = 5
MIN_ANSWERS = 3
ALPHA = 0.01
_SEED = 20240705
_ELO = 400 / math.log(10)
Figures = Mapping[str, float]


def analyse(answers: Sequence[Answer], stimuli: Stimuli) -> dict[str, Any]:
    """All figures of these answers. Raises ValueError when people and simulated raters are mixed."""
    if len({answer.simulated for answer in answers}) > 1:
        raise ValueError("answers of people and of simulated raters are never taken together")
    by_section = {s: [a for a in answers if a.section == s] for s in (RATING, MEANING, PREFERENCE)}
    times = [answer.answer_ms for answer in answers if answer.answer_ms is not None]
    return {
        "simulated": any(answer.simulated for answer in answers),
        "participants": len({answer.code for answer in answers}),
        "answers": len(answers),
        "median_answer_s": float(np.median(times)) / 1000 if times else None,
        "ratings": _ratings(by_section[RATING]),
        "meaning": _meaning(by_section[MEANING]),
        "preference": _preference(by_section[PREFERENCE], stimuli),
    }


def strengths(wins: Sequence[tuple[str, str]], names: Sequence[str]) -> dict[str, float]:
    """Elo points of `names` from (winner, loser) pairs, their mean 0. Raises ValueError without pairs."""
    if not wins:
        raise ValueError("no comparisons")
    numbers = {name: number for number, name in enumerate(names)}
    pairs = [(numbers[winner], numbers[loser]) for winner, loser in wins]
    fitted = choix.ilsr_pairwise(len(names), pairs, alpha=ALPHA, max_iter=1000)
    return dict(zip(names, (float(value) for value in (fitted - fitted.mean()) * _ELO), strict=True))


def _ratings(answers: Sequence[Answer]) -> dict[str, Any]:
    """By version: mean rating, how often each rating was given."""

    def means(some: Sequence[Answer]) -> Figures:
        return {name: float(np.mean([int(a.value) for a in some if a.left == name])) for name in _shown(some)}

    found = _with_intervals(answers, means)
    counts = {name: Counter(int(a.value) for a in answers if a.left == name) for name in found["figures"]}
    histogram = {name: [count[rating] for rating in range(1, 11)] for name, count in counts.items()}
    return {**found, "histogram": histogram}


def _meaning(answers: Sequence[Answer]) -> dict[str, Any]:
    """By version: the share that says the meaning is kept (yes), and how often each answer was given."""

    def kept(some: Sequence[Answer]) -> Figures:
        return {n: float(np.mean([a.value == MEANINGS[0] for a in some if a.left == n])) for n in _shown(some)}

    found = _with_intervals(answers, kept)
    counts = {name: Counter(a.value for a in answers if a.left == name) for name in found["figures"]}
    return {**found, "counts": {name: {value: count[value] for value in MEANINGS} for name, count in counts.items()}}


def _preference(answers: Sequence[Answer], stimuli: Stimuli) -> dict[str, Any]:
    """Strengths of all versions; the share of choices for ours against the best codec, against each, and of sides."""
    names = sorted({name for a in answers for name in (a.left, a.right)})
    best = {image.name: image.best for image in stimuli.images}

    def shares(some: Sequence[Answer]) -> Figures:
        mine = [a for a in some if OURS in (a.left, a.right)]
        groups = {"best codec": [a for a in mine if best[a.image] in (a.left, a.right)]}
        groups |= {n: [a for a in mine if n in (a.left, a.right)] for n in names if n != OURS}
        return {n: float(np.mean([_wins(a)[0] == OURS for a in group])) for n, group in groups.items() if group}

    def points(some: Sequence[Answer]) -> Figures:
        return strengths([_wins(a) for a in some], names) if some else {}

    sides = [a.value == "left" for a in answers]
    counts = Counter(_wins(a) for a in answers)
    return {
        "ours_chosen_over": _with_intervals(answers, shares),
        "strength_elo": _with_intervals(answers, points),
        "wins": [{"winner": w, "loser": beaten, "count": count} for (w, beaten), count in sorted(counts.items())],
        "left_chosen": float(np.mean(sides)) if sides else None,
    }


def _with_intervals(answers: Sequence[Answer], statistic: Callable[[Sequence[Answer]], Figures]) -> dict[str, Any]:
    """Each figure of `statistic` with its bootstrap interval and how it was drawn."""
    figures = statistic(answers) if answers else {}
    people: dict[str, list[Answer]] = {}
    for answer in answers:
        people.setdefault(answer.code, []).append(answer)
    by_people = len(people) >= MIN_CLUSTERS
    clusters = list(people.values()) if by_people else [[answer] for answer in answers]
    drawn: dict[str, list[float]] = {name: [] for name in figures}
    if len(answers) >= MIN_ANSWERS:
        random = np.random.default_rng(_SEED)
        for _ in range(RESAMPLES):
            some = [a for n in random.integers(0, len(clusters), len(clusters)) for a in clusters[n]]
            for name, value in statistic(some).items():
                drawn[name].append(value)
    tails = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    shown = {}
    for name, value in figures.items():
        wide = bool(drawn[name]) and min(drawn[name]) < max(drawn[name])
        low, high = np.quantile(drawn[name], tails) if wide else (None, None)
        shown[name] = {
            "value": value, "low": None if low is None else float(low), "high": None if high is None else float(high),
        }  # fmt: skip
    return {"figures": shown, "drawn": "participants" if by_people else "answers"}


def _shown(answers: Sequence[Answer]) -> list[str]:
    """The versions in these answers: ours first, the original last."""
    return sorted({a.left for a in answers}, key=lambda name: (name != OURS, name == ORIGINAL, name))


def _wins(answer: Answer) -> tuple[str, str]:
    return (answer.left, answer.right) if answer.value == "left" else (answer.right, answer.left)
