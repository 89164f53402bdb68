"""Words about a picture become a prompt that Stable Diffusion's text encoder can read.

In: the page's words, a caption, the image's kind, a CLIP tokenizer. Out: a `PromptPair` of texts that each fit into
the encoder's 77 tokens. Refuses: nothing; what is no description is left out, and without words the kind alone speaks.

Page text is data. Weights `(x:1.3)`, LoRA and embedding tags, CLIP's own control tokens, wildcards and command-line
switches are taken apart into plain words or dropped, in the same way whoever reads them, since some front ends obey
them. Nothing here depends on the machine, the process or the time: both ends of the link make the same prompt.

Room is given to phrases by worth: a caption says what is to be seen and comes first, then the page's words in their
order (its own alternative text leads). A phrase is worth less when it repeats what is said, is mostly numbers or
function words, is written in a script that the encoder hardly knows, or calls the reader to do something. What is kept
stands in its first order, for the encoder reads what stands first most closely; words of style follow.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

MAX_TOKENS = 77  # CLIP's positions, its marks of beginning and end among them
_MARKS = 2
_MAX_CHARS = 2_000  # of words or caption that are looked at; bundles hold at most 1,000
_MAX_PHRASES = 48

_STYLE = {
    "photograph": "photograph, natural light, sharp focus, fine detail",
    "illustration": "illustration, clean lines, flat colours",
    "graphic": "graphic design, clean shapes, flat colours",
}
_ANY_STYLE = "sharp focus, fine detail"
_AVOID_ALWAYS = "text, letters, watermark, signature, logo, frame, border, blurry, low quality, jpeg artifacts, noise"
_AVOID = {
    "photograph": "drawing, painting, cartoon, render, deformed, bad anatomy, oversaturated",
    "illustration": "photograph, grain, deformed, messy lines",
    "graphic": "photograph, grain, clutter",
}


class Tokenizer(Protocol):
    """What is asked of a tokenizer; `transformers.CLIPTokenizer` is one."""

    def __call__(self, text: str, *, add_special_tokens: bool = ...) -> Any:
        """An object whose `input_ids` is the list of token numbers of `text`."""
        ...


@dataclass(frozen=True, slots=True)
class PromptPair:
    """What the picture shows, and what it must not: each at most MAX_TOKENS tokens with CLIP's two marks."""

    positive: str
    negative: str


def build_prompt(words: str | None, caption: str | None, kind: str | None, tokenizer: Tokenizer) -> PromptPair:
    """The prompts for one picture. `kind` is the encoder's name of it ("photograph", "illustration", …) or None.

    `words` come from the page or the bundle, `caption` from someone who saw the picture. Never raises on any text.
    """
    count = _Counter(tokenizer)
    style = _STYLE.get(kind or "", _ANY_STYLE)
    room = MAX_TOKENS - _MARKS - count(f", {style}")
    said = [*_phrases(caption, from_caption=True), *_phrases(words, from_caption=False)]
    subject = ", ".join(_chosen(said, room, count))
    positive = f"{subject}, {style}" if subject else style
    avoid = [_AVOID[kind], _AVOID_ALWAYS] if kind in _AVOID else [_AVOID_ALWAYS]
    negative = ", ".join(_first_that_fit(", ".join(avoid).split(", "), MAX_TOKENS - _MARKS, count))
    return PromptPair(_cut(positive, MAX_TOKENS - _MARKS, count), negative)


# neutral text

_TAGS = re.compile(r"<[^<>]{0,200}>")  # <lora:x:1>, <|endoftext|>, <a-learned-concept>
_RECIPE = re.compile(  # what follows is a recipe for an image generator, pasted with its picture
    r"\b(?:negative prompt\s*:|sampler\s*:|model hash\s*:|(?:steps|cfg scale)\s*:\s*\d)", re.IGNORECASE
)
_SWITCH = re.compile(r"(?<!\w)--?[a-z]+(?:[ =:]+[\d.:]+)?(?!\w)", re.IGNORECASE)  # --ar 16:9, --no
_WEIGHT = re.compile(r":\s*[+-]?\d*\.?\d+(?=\s*[)\]}>])")
_CHAINED = re.compile(r"\b(?:embedding|lora|lyco|hypernet)\s*:\s*\S+", re.IGNORECASE)
_WILDCARD = re.compile(r"__\w+?__")
_EDIT = re.compile(r"(?<=\w):(?=[^\W\d])|(?<=[^\W\d]):(?=\w)")  # [from:to:0.5]; times of day keep their colon
_SPLITS = re.compile(r"\n|\||\b(?:BREAK|ADDCOMM|ADDROW|ADDCOL|ADDBASE)\b")
_AND = re.compile(r"\bAND\b")  # in capitals it joins two prompts
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\w+", re.IGNORECASE)
_SYNTAX = str.maketrans({**dict.fromkeys("()[]{}<>\\^~*_#@`=+$%", " "), "“": None, "”": None, '"': None, "„": None})
_UNSEEN = frozenset(("Cc", "Cf", "Co", "Cs", "Cn"))


def neutral(text: str) -> str:
    """`text` as plain words: NFKC, no syntax that any image generator acts on, no invisible characters. Idempotent."""
    text = text[:_MAX_CHARS]
    while (plain := _plainer(text)) != text:  # what was nested is seen once its wrapping is gone
        text = plain
    return text


def _plainer(text: str) -> str:
    text = unicodedata.normalize("NFKC", text)[:_MAX_CHARS]
    text = "".join(c if c == "\n" or unicodedata.category(c) not in _UNSEEN else " " for c in text)
    recipe = _RECIPE.search(text)
    if recipe is not None:
        text = text[: recipe.start()]
    text = _SPLITS.sub(",", text)
    for pattern in (_TAGS, _CHAINED, _WILDCARD, _ADDRESS, _WEIGHT, _EDIT, _SWITCH):
        text = pattern.sub(" ", text)
    return " ".join(_AND.sub("and", text).translate(_SYNTAX).split())


# ranking

_BREAKS = re.compile(r"[.!?;:…](?=\s|$)|[。！？；，、]|,(?!\d)|\s[–—-]\s|\s/\s")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_EMPTY = frozenset(
    _WORD.findall(
        """a an the of in on at to for from by with and or but as is are was were be been this that these those it its
    his her their our your my he she they we you i not no more most very has have had will would can could may about
    after before over under into out up down than then so such which who whom what when where how all any each other
    some here there now der die das und ein eine mit von im am le la les des du et un une dans sur de el los las del y
    en con por il lo gli di che"""
    )
)
_CALLS = frozenset(
    _WORD.findall(
        """click subscribe download share follow login buy comments copyright rights reserved advertisement sponsored
    cookies newsletter courtesy getty reuters afp shutterstock ignore instructions nsfw masterpiece"""
    )
)


@dataclass(frozen=True, slots=True)
class _Phrase:
    text: str
    words: tuple[str, ...]  # case-folded, those without meaning of their own left out
    place: int
    from_caption: bool

    def worth(self, said: frozenset[str]) -> float:
        """How much it is worth to say this after `said`; 0 when it adds nothing."""
        if not self.words:
            return 0.0
        new = sum(word not in said for word in self.words) / len(self.words)
        if new == 0:
            return 0.0
        source = 3.0 if self.from_caption else 1.0
        letters = [c for c in self.text if c.isalpha()]
        latin = sum(unicodedata.name(c, "").startswith("LATIN") for c in letters) / len(letters) if letters else 0.0
        digits = sum(c.isdigit() for c in self.text) / len(self.text)
        calls = sum(word in _CALLS for word in self.words) / len(self.words)
        if calls >= 0.5:
            return 0.0
        return source * new * (0.4 + 0.6 * latin) * (1 - digits) * (1 - calls) ** 2 / (1 + 0.25 * self.place)


def _phrases(text: str | None, from_caption: bool) -> list[_Phrase]:
    found: list[_Phrase] = []
    for part in _BREAKS.split(neutral(text or ""))[:_MAX_PHRASES]:
        phrase = part.strip(" ,.;:!?-–—'’/&")
        words = tuple(word for word in (w.casefold() for w in _WORD.findall(phrase)) if word not in _EMPTY)
        if words:
            found.append(_Phrase(phrase, words, len(found), from_caption))
    return found


def _chosen(phrases: Sequence[_Phrase], room: int, count: _Counter) -> list[str]:
    """The phrases worth most together, at most `room` tokens with the commas between them, in their first order."""
    left = list(enumerate(phrases))
    kept: dict[int, str] = {}
    said: frozenset[str] = frozenset()
    while left and room > 1:
        worth, _, at = max((phrase.worth(said), -number, n) for n, (number, phrase) in enumerate(left))
        if worth <= 0:
            break
        number, phrase = left.pop(at)
        text = _cut(phrase.text, room - 1, count)
        if text != phrase.text and kept and _is_stub(text, phrase):
            continue  # a stump of it says little; a shorter one may fit whole
        if not text:
            continue
        kept[number] = text
        said |= set(phrase.words)
        room -= count(f"{text},")
    return [kept[number] for number in sorted(kept)]


def _is_stub(text: str, phrase: _Phrase) -> bool:
    return len(text) < len(phrase.text) / 2


def _cut(text: str, room: int, count: _Counter) -> str:
    """The longest beginning of `text` that ends between words and has at most `room` tokens."""
    if count(text) <= room:
        return text
    pieces = text.split(" ")
    low, high = 0, len(pieces)  # `low` pieces fit, `high` do not
    while high - low > 1:
        middle = (low + high) // 2
        if count(" ".join(pieces[:middle])) <= room:
            low = middle
        else:
            high = middle
    kept = pieces[:low]
    while kept and _folded(kept[-1]) in _EMPTY:
        kept.pop()
    if kept or not pieces:
        return " ".join(kept).rstrip(" ,;:-–—")
    word = pieces[0]  # one word alone, or a script without spaces
    while word and count(word) > room:
        word = word[: max(1, len(word) * room // max(1, count(word)))] if len(word) > 1 else ""
    return word


def _first_that_fit(words: Iterable[str], room: int, count: _Counter) -> list[str]:
    kept: list[str] = []
    for word in words:
        if count(", ".join([*kept, word])) <= room:
            kept.append(word)
    return kept


def _folded(word: str) -> str:
    return word.strip(",.;:").casefold()


class _Counter:
    """Counts the tokens of a text, without CLIP's two marks."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False).input_ids) if text else 0
