"""Contact sheets to look at: the original under a slider, beside what was made of it.

In: small pictures as base64 WebP (`evaluation.pictures.shown`). Out: HTML. Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.report.page import text


def sheet(title: str, original: str, others: Sequence[tuple[str, str, str]]) -> str:
    """One image: for every (name, figures, picture) a pair with a slider, the original on the left of it."""
    pairs = "".join(_pair(original, *other) for other in others if other[2])
    return f'<h3 class="soft">{text(title)}</h3><div class="sheet">{pairs}</div>' if pairs else ""


def _pair(original: str, name: str, figures: str, picture: str) -> str:
    return (
        f'<figure><div class="pair"><img alt="{text(name)}" src="{_source(picture)}">'
        f'<img class="over" alt="original" src="{_source(original)}"></div>'
        f'<input type="range" min="0" max="100" value="50" aria-label="share of the original shown">'
        f"<figcaption><b>{text(name)}</b> {text(figures)}</figcaption></figure>"
    )


def _source(picture: str) -> str:
    return f"data:image/webp;base64,{picture}"
