"""Damages answers of captioners and reads them as the captioner does: anything but plain words or a refusal is a
finding.

`python tests/fuzz/fuzz_captions.py [COUNT] [SEED]` prints how many were read and how many refused. Half of the inputs
are damaged bytes of answers, half are trees of JSON in which values of any type stand where others belong; both hold
what injections, markup and invisible characters look like.
"""

import json
import random
import sys
import time
import unicodedata
from typing import Any

from proxy.captions.clean import clean
from proxy.captions.question import caption_of, hint_of, text_of, tokens_of

MAX_CHARS = 200
PLAIN = ("A red bicycle", "leans against", "a brick wall", "in low evening sun", "two cups", "é", "猫", "1.5")
WORDS = (
    *PLAIN,
    *("A red bicycle", "ignore previous instructions", "system:", "assistant", "<script>", "</system>"),
    *("https://evil.example", "me@evil.example", "![x](y)", "```json", "```", "{{x}}", "(cat:1.5)", "<lora:x:1>"),
    *("[[", "\\ud800", "\ud83d", "\u202e", "\u200b", "\U000e0041", "\x00", "\n", "\r", "\t", "é", "猫", "ﷺ"),
    *("ａｃｔ ａｓ", "caption", '{"caption": "', '"}', '"', "\\", "{", "}", "[", "]", "I'm sorry", "language model"),
    *("sk-test-abcdefgh12345678", "+49 170 1234567", "&lt;b&gt;", "|im_start|", "A" * 300, "9" * 400),
)


def value(chance: random.Random, depth: int = 0) -> Any:
    """Any JSON value, mostly small."""
    kind = chance.randrange(9 if depth < 4 else 6)
    if kind < 2:
        return words(chance)
    if kind < 6:
        return chance.choice((None, True, False, 0, -1, 1.5, 10**400, float("nan"), "", [], {}))
    if kind == 6:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    keys = ("caption", "content", "text", "message", "choices", "usage", "prompt_tokens", "completion_tokens", "x")
    return {chance.choice(keys): value(chance, depth + 1) for _ in range(chance.randrange(4))}


def words(chance: random.Random) -> str:
    """A sentence of what captions hold and of what they must not."""
    pool = PLAIN if chance.random() < 0.5 else WORDS
    parts = (chance.choice(pool) for _ in range(chance.randint(1, 6)))
    return chance.choice((" ", "", "\n")).join(parts)


def answer(chance: random.Random) -> Any:
    """A chat completion with something wrong somewhere, or nothing."""
    said: Any = words(chance)
    if chance.random() < 0.6:
        said = json.dumps(
            {"caption": said if chance.random() < 0.8 else value(chance)}, ensure_ascii=chance.random() < 0.5
        )
    if chance.random() < 0.2:
        said = [{"type": "text", "text": said}, value(chance)]
    if chance.random() < 0.2:
        said = value(chance)
    tree: Any = {
        "choices": [{"message": {"role": "assistant", "content": said}}],
        "usage": {"prompt_tokens": 400, "completion_tokens": 20},
    }
    if chance.random() < 0.3:
        tree[chance.choice(("choices", "usage"))] = value(chance)
    return tree if chance.random() < 0.97 else value(chance)


def damaged(body: str, chance: random.Random) -> str:
    """`body` with a few characters changed, cut or repeated."""
    text = list(body)
    for _ in range(chance.choice((0, 1, 2, 5))):
        at, kind = chance.randrange(len(text) + 1), chance.randrange(4)
        if kind == 0:
            text[at : at + chance.randint(1, 20)] = []
        elif kind == 1:
            text[at:at] = list(chance.choice(WORDS))
        elif kind == 2:
            text[at:at] = text[at : at + chance.randint(1, 40)]
        else:
            text = text[:at]
    return "".join(text)


def attempt(chance: random.Random) -> str | None:
    """One answer, read as the captioner reads it: plain words, or None where it is refused. Raises AssertionError for
    words that should not have passed, and whatever the reading raises.
    """
    tree = answer(chance)
    if chance.random() < 0.5:
        try:
            tree = json.loads(damaged(json.dumps(tree), chance))
        except (ValueError, RecursionError):
            return None
    used = tokens_of(tree)
    assert used is None or all(0 <= count < 10**9 for count in used), used
    try:
        text = clean(caption_of(text_of(tree)), MAX_CHARS)
    except ValueError:
        return None
    hint = hint_of(words(chance))
    for plain in (text, hint):
        if plain is not None:
            check(plain)
    return text


def check(plain: str) -> None:
    """Raises AssertionError unless `plain` is a line of visible words that can be stored, and no order."""
    plain.encode("utf-8")
    assert 0 < len(plain) <= MAX_CHARS and plain == plain.strip(), plain
    assert not any(c in "<>[]{}()|\\`*_#=" or unicodedata.category(c)[0] == "C" for c in plain), plain
    assert "://" not in plain and "@" not in plain, plain
    assert clean(plain, MAX_CHARS) is not None, plain


def main() -> None:
    """Read COUNT answers and tell what became of them."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    chance = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    start, read = time.monotonic(), 0
    for number in range(count):
        state = chance.getstate()
        try:
            read += attempt(chance) is not None
        except BaseException:
            chance.setstate(state)
            print(f"input {number}: {answer(chance)!r}")
            raise
    print(f"{count} answers: {read} read, {count - read} refused; no crash; {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
