"""What a browser made of a page, and how two such looks differ.

In: a loaded page. Out: `Look`: every element's box, every image, every error; differences as sentences. Refuses
nothing: a page without elements is a look, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.e2e.chromium import Browser, ShownImage

TOLERANCE_PX = 1.0
_SETTLE = """(async () => {
  await document.fonts.ready;
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
})()"""
_BOXES = """[...document.querySelectorAll('body *')].map(element => {
  const box = element.getBoundingClientRect();
  return [element.tagName, box.x + scrollX, box.y + scrollY, box.width, box.height];
})"""


@dataclass(frozen=True, slots=True)
class Look:
    """`boxes` are (tag, x, y, width, height) in CSS pixels, in the document's order."""

    boxes: tuple[tuple[str, float, float, float, float], ...]
    images: tuple[ShownImage, ...]
    errors: frozenset[str]


async def look(browser: Browser, url: str, timeout_s: float = 120) -> Look:
    """Load a page and look at it. Raises ConnectionError when it does not load, TimeoutError."""
    await browser.load(url, timeout_s)
    return await look_again(browser)


async def look_again(browser: Browser) -> Look:
    """Look at the page that is loaded."""
    images = tuple(await browser.images())
    await browser.evaluate(_SETTLE)
    boxes = tuple((str(tag), *map(float, box)) for tag, *box in await browser.evaluate(_BOXES))
    return Look(boxes, images, frozenset(browser.errors()))


def differences(direct: Look, proxied: Look) -> list[str]:
    """What is worse or elsewhere in the second look; empty for the same page."""
    found = [f"a new error: {error}" for error in sorted(proxied.errors - direct.errors)]
    if [image.src for image in direct.images] != [image.src for image in proxied.images]:
        found.append(f"{len(direct.images)} images became {len(proxied.images)}, or others")
    else:
        for before, after in zip(direct.images, proxied.images, strict=True):
            if (before.width, before.height) != (after.width, after.height):
                found.append(f"{before.src}: {before.width}×{before.height} became {after.width}×{after.height}")
    return found + _moved(direct.boxes, proxied.boxes)


def _moved(before: Sequence[tuple[str, float, float, float, float]], after: Sequence[tuple[str, ...]]) -> list[str]:
    if [box[0] for box in before] != [box[0] for box in after]:
        return [f"{len(before)} elements became {len(after)}, or others"]
    for one, other in zip(before, after, strict=True):
        far_px = max(abs(float(a) - float(b)) for a, b in zip(one[1:], other[1:], strict=True))
        if far_px > TOLERANCE_PX:
            return [f"{one} became {other}"]  # what follows it moves along
    return []
