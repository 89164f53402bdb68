"""What one participant is asked, and in which order.

In: the stimuli, a seed, how many questions a section has. Out: a fixed tuple of `Trial`s. Refuses nothing: a section
for which the stimuli have nothing is left out.

Section A rates ours, the best codec and, unsaid, the original; section B judges ours and the best codec in the context
of the page; section C compares ours with the best codec in every other question, and any two versions in the rest, so
that Bradley–Terry has a connected graph. Which images, which versions, their order and sides are drawn by the seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from evaluation.study.stimuli import ORIGINAL, OURS, Stimuli, Stimulus

RATING, MEANING, PREFERENCE = "A", "B", "C"
RATINGS = tuple(str(n) for n in range(1, 11))
MEANINGS = ("yes", "partly", "no")
SIDES = ("left", "right")
VALUES = {RATING: RATINGS, MEANING: MEANINGS, PREFERENCE: SIDES}
HIDDEN_EVERY = 7  # of the ratings, one is of the original itself


@dataclass(frozen=True, slots=True)
class Trial:
    """One question. `left` is the version that is shown, or the one on the left of a pair; `right` the other."""

    number: int
    section: str
    image: str
    left: str
    right: str = ""


def trials(stimuli: Stimuli, seed: int, per_section: int) -> tuple[Trial, ...]:
    """The same stimuli, seed and length give the same questions."""
    draw = random.Random(seed)
    with_words = [image for image in stimuli.images if image.words]
    asked = [
        *((RATING, *one) for one in _single(stimuli.images, draw, per_section, hidden=True)),
        *((MEANING, *one) for one in _single(with_words, draw, per_section, hidden=False)),
        *((PREFERENCE, *one) for one in _pairs(stimuli.images, draw, per_section)),
    ]
    return tuple(Trial(number, *one) for number, one in enumerate(asked))


def _single(
    images: Sequence[Stimulus], draw: random.Random, count: int, hidden: bool
) -> Iterator[tuple[str, str, str]]:
    first = draw.randrange(2)
    versions = [ORIGINAL if hidden and n % HIDDEN_EVERY == HIDDEN_EVERY - 1 else (n + first) % 2 for n in range(count)]
    draw.shuffle(versions)
    for image, version in zip(_round(images, draw, count), versions, strict=False):
        yield image.name, version if isinstance(version, str) else (OURS, image.best)[version], ""


def _pairs(images: Sequence[Stimulus], draw: random.Random, count: int) -> Iterator[tuple[str, str, str]]:
    main = [number % 2 == 0 for number in range(count)]
    draw.shuffle(main)
    for image, ours_and_best in zip(_round(images, draw, count), main, strict=False):
        pair = [OURS, image.best] if ours_and_best else list(draw.choice(list(combinations(image.conditions, 2))))
        draw.shuffle(pair)
        yield image.name, pair[0], pair[1]


def _round(images: Sequence[Stimulus], draw: random.Random, count: int) -> list[Stimulus]:
    """`count` images, each as often as any other, in a drawn order within every round."""
    found: list[Stimulus] = []
    while images and len(found) < count:
        found += draw.sample(images, len(images))
    return found[:count]
