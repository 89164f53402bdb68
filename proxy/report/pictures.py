"""Examples to look at: a picture before and after, with a line between them that can be moved without a script.

In: `Example`s of the gallery. Out: HTML and its style. Refuses nothing.

The line is a row of radio buttons over the picture: a tap or a click anywhere sets it, the arrow keys move it, a mouse
takes it along. On paper, and where styles are off, the two pictures stand side by side.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from proxy.negotiation import NO_ENGINE
from proxy.report.numbers import DASH, moment, size
from proxy.report.page import paragraph, text

if TYPE_CHECKING:
    from proxy.gallery.after import Example

STOPS = tuple(range(0, 101, 5))  # percent of the width that shows the original
AT_FIRST = 50
NOTE = (
    "Small copies of pictures that anybody may have asked for, kept because the operator switched the gallery on. The "
    "second picture was drawn again for this report from what crossed the link; words of a page are not kept, so the "
    "one that was shown may have differed."
)
_STYLE = """
.cuts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); gap: 1.1rem; margin-top: .6rem; }
.cut { border: 0; margin: 0; padding: 0; min-width: 0; font-size: .9rem; }
.cut legend { padding: 0; float: left; width: 100%; margin-bottom: .35rem; color: var(--soft); }
.cut .both { clear: both; position: relative; display: grid; width: 100%; max-width: 320px; border-radius: .5rem; overflow: hidden; --at: 50%; }
.cut img { width: 100%; height: auto; display: block; background: var(--line); }
.cut p { margin: .35rem 0 0; }
@media screen {
  .cut img { grid-area: 1 / 1; }
  .cut .first { clip-path: inset(0 calc(100% - var(--at)) 0 0); z-index: 1; }
  .cut .both::after { content: ""; position: absolute; z-index: 2; top: 0; bottom: 0; left: clamp(1px, var(--at), calc(100% - 1px)); width: 2px;
    margin-left: -1px; background: #fff; box-shadow: 0 0 0 1px rgb(0 0 0 / .55); pointer-events: none; }
  .cut .both:focus-within { outline: 3px solid var(--leaf); outline-offset: 2px; }
  .cut .stops { position: absolute; inset: 0; z-index: 3; display: flex; }
  .cut input { appearance: none; flex: 1; margin: 0; min-width: 0; cursor: ew-resize; outline: 0; }
}
@media print { .cut input { display: none; } .cut { break-inside: avoid; } .cut .both { grid-template-columns: 1fr 1fr; gap: 4px; max-width: none; } }
"""  # noqa: E501
_MOVED = "\n".join(
    f".cut .both:has(input:nth-of-type({number}):checked) {{ --at: {stop}%; }}" for number, stop in enumerate(STOPS, 1)
)
_TAKEN = "\n".join(
    f".cut .both:has(input:nth-of-type({number}):hover) {{ --at: {stop}%; }}" for number, stop in enumerate(STOPS, 1)
)
STYLE = f"{_STYLE}{_MOVED}\n@media (hover: hover) {{\n{_TAKEN}\n}}\n"


def examples(worst: Sequence[Example], best: Sequence[Example]) -> list[str]:
    """The parts of a section, none without examples."""
    parts = []
    for name, title, some in (("worst", "The worst", worst), ("best", "The best", best)):
        if some:
            cuts = "".join(_cut(f"{name}{number}", one) for number, one in enumerate(some))
            parts.append(f'<h3>{title} by similarity</h3><div class="cuts">{cuts}</div>')
    return [paragraph(NOTE, True), *parts] if parts else []


def _cut(name: str, one: Example) -> str:
    facts = one.facts
    pixels = f"{facts.width_px} × {facts.height_px}" if facts.width_px else ""
    what = ", ".join(part for part in (facts.kind, pixels) if part) or "picture"
    by = "a smaller file" if not one.engine else "drawn without a model" if one.engine == NO_ENGINE else one.engine
    told = (
        f"{size(facts.origin_bytes)} became {size(facts.sent_bytes)} · {facts.mode or DASH} · {by} · "
        f"{moment(facts.time_s)} UTC"
    )
    stops = "".join(
        f'<input type="radio" name="{name}" aria-label="{stop} % original"{" checked" if stop == AT_FIRST else ""}>'
        for stop in STOPS
    )
    return (
        f'<fieldset class="cut"><legend>Similarity {facts.quality:.2f} · {text(what)}</legend><div class="both">'
        f"{_image(one.before, 'The original', 'first')}{_image(one.after, 'What was sent instead of it', 'second')}"
        f'<div class="stops">{stops}</div></div><p class="soft">{text(told)}</p></fieldset>'
    )


def _image(file: bytes, told: str, place: str) -> str:
    with Image.open(io.BytesIO(file)) as image:
        width_px, height_px = image.size
    address = f"data:image/webp;base64,{base64.b64encode(file).decode()}"
    return f'<img class="{place}" alt="{told}" width="{width_px}" height="{height_px}" src="{address}">'
