"""The words of a bundle.

In: words from the page, if any, and the image. Out: a `Prompt`. Refuses: nothing; without words, the image is
described by its kind and main colours, which is true, short, and what a prompt-only bundle has at least to say.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from proxy.bundle import Prompt
from proxy.bundle.model import MAX_PROMPT_CHARS
from proxy.bundle.resample import resize
from proxy.encode.analyse import Kind

_COLOURS = {
    "black": (20, 20, 20),
    "grey": (128, 128, 128),
    "white": (240, 240, 240),
    "red": (190, 40, 40),
    "orange": (225, 130, 40),
    "yellow": (225, 205, 70),
    "green": (60, 125, 55),
    "teal": (40, 140, 140),
    "blue": (50, 90, 185),
    "light blue": (150, 190, 225),
    "purple": (115, 60, 145),
    "pink": (225, 145, 175),
    "brown": (110, 75, 45),
    "beige": (215, 190, 155),
}
_NOUNS = {Kind.PHOTOGRAPH: "a photograph", Kind.ILLUSTRATION: "an illustration"}


def prompt_for(words: str | None, known_downstream: bool, rgb: npt.NDArray[np.uint8], kind: Kind) -> Prompt:
    """The prompt: nothing on the wire when downstream holds the same words."""
    if words and known_downstream:
        return Prompt(None)
    text = " ".join((words or "").encode("utf-8", "ignore").decode("utf-8").split())[:MAX_PROMPT_CHARS].strip()
    return Prompt(text or describe(rgb, kind))


def describe(rgb: npt.NDArray[np.uint8], kind: Kind) -> str:
    """A plain description such as "a photograph, mostly green and brown"."""
    cells = resize(rgb, 8, 8).reshape(-1, 3).astype(np.int32)
    names, values = list(_COLOURS), np.array(list(_COLOURS.values()))
    nearest = np.argmin(((cells[:, None] - values[None]) ** 2).sum(axis=2), axis=1)
    counts = np.bincount(nearest, minlength=len(names))
    main = [names[i] for i in np.argsort(-counts, kind="stable")[:2] if counts[i] >= 6]
    return f"{_NOUNS.get(kind, 'a picture')}, mostly {' and '.join(main)}" if main else _NOUNS.get(kind, "a picture")
