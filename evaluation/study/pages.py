"""The study's pages as HTML that loads nothing but its own pictures and works without scripts.

In: a question and what it shows. Out: a page. Refuses nothing; all words are escaped. No page says, in its text, its
addresses or its markup, which version a picture is.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.resources import files

from evaluation.report.page import text
from evaluation.study.stimuli import Stimulus
from evaluation.study.trials import MEANING, PREFERENCE, RATING, RATINGS, Trial

TITLE = "How do these pictures look?"
SIMULATED = "Simulated rater: these answers are given by a script, not by a person."
CONSENT = (
    "Thank you for your interest. This study asks how well pictures keep what matters when they are sent with very few "
    "bytes, some by ordinary image codecs, some drawn again by a small neural network.",
    "You will see pictures from web pages and answer one question about each: how close a picture is to its original, "
    "whether it still says what it should say on its page, and which of two you prefer. There are no wrong answers.",
    "What is kept: your answers, how long each took, and a random code. Not kept: your name, your address on the "
    "network, your browser. The answers are stored on the machine that runs this study and are published, if at all, "
    "as they are stored: without anything that names you.",
    "Taking part is voluntary. You can stop at any time, go on later with your code, or delete everything you have "
    "answered, on every page and also after the last one. The pictures come from public web pages.",
)
_MEANINGS = {"yes": "Yes", "partly": "Partly", "no": "No"}
_SECTIONS = {RATING: "Part 1: how close", MEANING: "Part 2: on the page", PREFERENCE: "Part 3: which one"}


@functools.cache
def style() -> str:
    """The style sheet."""
    return files(__package__).joinpath("study.css").read_text(encoding="utf-8")


def consent(paragraphs: Sequence[str], contact: str, questions: int, minutes: int) -> str:
    """The first page: what this is, and the question whether one agrees."""
    words = "".join(f"<p>{text(paragraph)}</p>" for paragraph in paragraphs)
    asked = f"<p>Questions about the study: {text(contact)}</p>" if contact else ""
    return _page(
        TITLE,
        f'<h1>{text(TITLE)}</h1>{words}{asked}<p class="soft">{questions} questions, about {minutes} minutes.</p>'
        '<form method="post" action="/begin"><label class="agree"><input type="checkbox" name="consent" value="yes" '
        "required><span>I have read this, I am at least 18 years old, and I agree to take part.</span></label>"
        '<button type="submit">Begin</button></form>',
        False,
    )


def question(trial: Trial, image: Stimulus, of: int, code: str, simulated: bool) -> str:
    """The page of one question."""
    body = {RATING: _rating, MEANING: _meaning, PREFERENCE: _preference}[trial.section](trial, image)
    return _page(
        _SECTIONS[trial.section],
        f'<div class="bar"><span>{trial.number + 1} of {of}</span>'
        f'<progress value="{trial.number}" max="{of}" aria-label="answered so far"></progress></div>'
        f'<form method="post" action="/answer"><input type="hidden" name="number" value="{trial.number}">'
        f'{body}<button type="submit">Next</button></form>{_leave(code)}',
        simulated,
    )


def thanks(code: str, simulated: bool) -> str:
    """The last page."""
    return _page(
        "Thank you",
        "<h1>Thank you</h1><p>All your answers are stored. You can close this page.</p>" + _leave(code),
        simulated,
    )


def notice(title: str, words: str) -> str:
    """A page that says one thing."""
    return _page(title, f'<h1>{text(title)}</h1><p>{text(words)}</p><p><a href="/">To the first page</a></p>', False)


def _rating(trial: Trial, image: Stimulus) -> str:
    return (
        f"<h1>{_SECTIONS[RATING]}</h1>"
        f'<div class="side">{_figure("Original", trial, "original")}{_figure("Received", trial, "left")}</div>'
        "<fieldset><legend>How close is the received picture to the original?</legend>"
        f'<div class="scale">{"".join(_choice(value, value) for value in RATINGS)}</div>'
        '<p class="ends"><span>1: nothing alike</span><span>10: no difference</span></p></fieldset>'
    )


def _meaning(trial: Trial, image: Stimulus) -> str:
    def article(label: str, slot: str) -> str:
        return (
            f'<figure><figcaption>{label}</figcaption><div class="article"><h2>{text(_heading(image))}</h2>'
            f"{_picture(trial, slot, label)}<p>{text(image.words)}</p></div></figure>"
        )

    return (
        f"<h1>{_SECTIONS[MEANING]}</h1>"
        f'<div class="side">{article("As published", "original")}{article("As received", "left")}</div>'
        "<fieldset><legend>On this page, does the received picture still tell a reader what the original tells?"
        "</legend>"
        f'<div class="words">{"".join(_choice(value, label) for value, label in _MEANINGS.items())}</div></fieldset>'
    )


def _preference(trial: Trial, image: Stimulus) -> str:
    def side(value: str, label: str) -> str:
        return (
            f'<label class="choice pick"><input type="radio" name="value" value="{value}" required>'
            f'<span class="label">{label}</span>{_picture(trial, value, label)}</label>'
        )

    return (
        f"<h1>{_SECTIONS[PREFERENCE]}</h1><fieldset><legend>Both pictures stand for the original. Which one would you "
        "rather get? Choose the picture itself; if you cannot decide, guess.</legend>"
        f'<div class="side three">{side("left", "Picture A")}{side("right", "Picture B")}'
        f"{_figure('The original, for comparison', trial, 'original')}</div></fieldset>"
    )


def _heading(image: Stimulus) -> str:
    """The page's name, or the first words about the picture."""
    return image.page.replace("-", " ").capitalize() if image.page else image.words.split(". ")[0]


def _figure(label: str, trial: Trial, slot: str) -> str:
    return f"<figure><figcaption>{label}</figcaption>{_picture(trial, slot, label)}</figure>"


def _picture(trial: Trial, slot: str, label: str) -> str:
    return f'<img src="/picture/{trial.number}/{slot}" data-slot="{slot}" alt="{label}">'


def _choice(value: str, label: str) -> str:
    return (
        f'<label class="choice"><input type="radio" name="value" value="{value}" required><span>{label}</span></label>'
    )


def _leave(code: str) -> str:
    """How to go on later, and how to withdraw."""
    return (
        "<details><summary>Go on later, or withdraw</summary>"
        f"<p>To go on later, also on another device, open <code>/resume/{text(code)}</code> on this server.</p>"
        '<form method="post" action="/withdraw"><button class="quiet" type="submit">Delete all my answers</button>'
        "</form></details>"
    )


def _page(title: str, body: str, simulated: bool) -> str:
    banner = f'<p class="banner" role="note">{SIMULATED}</p>' if simulated else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f'<title>{text(title)}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/study.css"></head>'
        f"<body><main>{banner}{body}</main></body></html>\n"
    )
