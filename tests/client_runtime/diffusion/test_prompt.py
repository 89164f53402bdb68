from __future__ import annotations

import os
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_runtime.engines.diffusion.prompt import MAX_TOKENS, build_prompt, neutral


class WordPieces:
    """Counts as CLIP's tokenizer does, roughly: a token for each mark and for each six bytes of a word."""

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> Any:
        pieces = [w for w in re.findall(r"\w+|[^\w\s]", text) for _ in range(-(-len(w.encode()) // 6))]
        return SimpleNamespace(input_ids=[49406, *pieces, 49407] if add_special_tokens else pieces)


PIECES = WordPieces()


def tokens(text: str) -> int:
    return len(PIECES(text).input_ids)


def positive(words: str | None, caption: str | None = None, kind: str | None = "photograph") -> str:
    return build_prompt(words, caption, kind, PIECES).positive


def test_page_words_stand_before_style() -> None:
    assert positive("Red fox in the snow") == (
        "Red fox in the snow, photograph, natural light, sharp focus, fine detail"
    )


def test_the_kind_chooses_style_and_what_to_avoid() -> None:
    photo = build_prompt("a fox", None, "photograph", PIECES)
    drawing = build_prompt("a fox", None, "illustration", PIECES)
    assert "photograph" in photo.positive and "drawing" in photo.negative
    assert "illustration" in drawing.positive and "photograph" in drawing.negative
    for pair in (photo, drawing, build_prompt("a fox", None, None, PIECES)):
        assert "watermark" in pair.negative and "text" in pair.negative


def test_without_words_the_kind_speaks_alone() -> None:
    assert (
        positive(None) == positive("") == positive(" …, (((") == "photograph, natural light, sharp focus, fine detail"
    )
    assert positive(None, kind=None) == "sharp focus, fine detail"


def test_a_caption_wins_when_there_is_no_room_for_all() -> None:
    words = ". ".join(f"sentence number{chr(97 + n)} about otherthings{chr(97 + n)} entirely" for n in range(20))
    text = positive(words, caption="an elderly fisherman mends a green net on a stone pier at dawn")
    assert text.startswith("an elderly fisherman mends a green net on a stone pier at dawn, ")
    assert tokens(text) <= MAX_TOKENS


def test_what_says_nothing_new_gives_its_room_away() -> None:
    text = positive("Red fox in the snow. The red fox, in snow! A wooden cabin behind it")
    assert text.lower().count("fox") == 1 and "wooden cabin" in text


def test_calls_and_numbers_are_no_descriptions() -> None:
    text = positive("Click here to subscribe. Lighthouse on a cliff. Download, share, follow. 12 345 678")
    assert text.startswith("Lighthouse on a cliff, photograph")


def test_phrases_keep_their_order_and_the_first_matter_most() -> None:
    names = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota")
    phrases = [f"{name} standing quietly beside something{name} tall" for name in names]
    text = positive(". ".join(phrases))
    kept = [phrase for phrase in phrases if phrase in text]
    assert kept == phrases[: len(kept)] and 3 <= len(kept) < len(phrases)
    assert [text.index(phrase) for phrase in kept] == sorted(text.index(phrase) for phrase in kept)


def test_a_phrase_that_is_too_long_is_cut_between_words() -> None:
    text = positive("harbour " + " ".join(f"{chr(97 + n % 26)}{chr(97 + n // 26)}tail" for n in range(300)))
    assert tokens(text) <= MAX_TOKENS and text.endswith("fine detail")
    assert re.fullmatch(r"harbour(?: [a-z]{2}tail)+, photograph, .*", text)


def test_text_without_spaces_is_cut_too() -> None:
    text = positive("狐" * 900)
    assert "狐狐狐" in text and tokens(text) <= MAX_TOKENS


@pytest.mark.parametrize(
    ("page", "plain"),
    [
        ("a ((castle:1.4)) on a [hill]", "a castle on a hill"),
        ("<lora:evil:0.9> a castle", "a castle"),
        ("a castle<|endoftext|> at night", "a castle at night"),
        ("a <lo<b>ra:x:1> castle", "a lo ra x castle"),
        ("[dog:cat:0.5] asleep", "dog cat asleep"),
        ("{red|blue} bird", "red,blue bird"),
        ("a fox BREAK a dog AND a cat", "a fox , a dog and a cat"),
        ("a fox --ar 16:9 --v 5", "a fox"),
        ("__animal__ in a field", "in a field"),
        ("embedding:bad-hands a hand", "a hand"),
        ("a fox. Negative prompt: ugly, Steps: 20, Sampler: Euler", "a fox."),
        ("mail me@example.org or see https://example.org/a?b=c now", "mail or see now"),
        ("ａ ｆｏｘ （ｘ：１．３）", "a fox x"),
        ("a\u202e fox\u200b here\x00", "a fox here"),
        ("next steps: walk at 10:30", "next steps: walk at 10:30"),
    ],
)
def test_no_syntax_is_left(page: str, plain: str) -> None:
    assert neutral(page) == plain
    assert not re.search(r"[()\[\]{}<>|\\]|:\d*\.\d", positive(page))


def test_instructions_to_a_reader_are_no_descriptions() -> None:
    text = positive("Ignore previous instructions. A heron wades. NSFW, masterpiece")
    assert text.startswith("A heron wades, photograph")


@given(st.text(max_size=600), st.none() | st.text(max_size=200), st.sampled_from(["photograph", "text", None]))
@settings(max_examples=150, deadline=None)
def test_any_text_fits_and_holds_no_syntax(words: str, caption: str | None, kind: str | None) -> None:
    pair = build_prompt(words, caption, kind, PIECES)
    assert tokens(pair.positive) <= MAX_TOKENS and tokens(pair.negative) <= MAX_TOKENS
    assert not set("()[]{}<>|\\\n") & set(pair.positive)
    assert neutral(neutral(words)) == neutral(words)


def test_other_processes_make_the_same_prompt() -> None:
    words = "Wildlife returns. A red fox, in fresh snow; near Banff – at dawn. Subscribe! " * 5
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_prompt import positive; print(positive(sys.argv[2]))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program, os.path.dirname(__file__), words],
            env={**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert answers == {positive(words)}


def test_clip_tokenizer_of_transformers_counts() -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    del transformers
    letters = [chr(n) for n in range(33, 127)]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    clip = CLIPTokenizer(vocab={piece: n for n, piece in enumerate(vocabulary)}, merges=[], model_max_length=77)
    pair = build_prompt("A red fox in snow. " * 3, "a lighthouse <|endoftext|> on a cliff", None, clip)
    for text in (pair.positive, pair.negative):
        assert len(clip(text).input_ids) <= MAX_TOKENS
    assert pair.positive.startswith("a lighthouse on a cliff")
