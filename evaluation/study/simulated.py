"""Simulated raters, which walk through the study in Chromium as people would, to prove that it works.

In: the study's address, how many raters, a seed. Out: answers in the study's store, all marked as simulated; if asked
for, screenshots. Refuses: to answer as anything else than a simulated rater.

A rater sees what the page shows and nothing else: it compares the displayed pictures with the displayed original on a
small grid of pixels, adds noise drawn by the seed, and answers. What it says about quality is worth no more than that.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path

from evaluation.collect.chromium import Browser, BrowserError, chromium
from evaluation.study.trials import MEANING, PREFERENCE, RATING

TIMEOUT_S = 60.0
MAX_QUESTIONS = 500
PHONE, DESK = (390, 844), (1280, 900)
_NOISE = 0.006
_LOOK = """(async () => {
  const pixels = async image => {
    await image.decode();
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 128;
    const pen = canvas.getContext('2d');
    pen.drawImage(image, 0, 0, 128, 128);
    return pen.getImageData(0, 0, 128, 128).data;
  };
  const seen = {};
  for (const image of document.querySelectorAll('img[data-slot]')) seen[image.dataset.slot] = await pixels(image);
  const distances = {};
  for (const slot of ['left', 'right']) {
    if (!seen[slot]) continue;
    let sum = 0;
    for (let i = 0; i < seen[slot].length; i++) sum += Math.abs(seen[slot][i] - seen.original[i]);
    distances[slot] = sum / (128 * 128 * 3 * 255);
  }
  const values = [...document.querySelectorAll('input[name=value]')].map(input => input.value);
  return {values, distances};
})()"""


def answer(section: str, distances: Mapping[str, float], draw: random.Random) -> str:
    """What a simulated rater says: `distances` from the original (0 to 1) of what is on the left and the right."""
    felt = {slot: max(0.0, distance + draw.gauss(0, _NOISE)) for slot, distance in distances.items()}
    if section == PREFERENCE:
        return min(felt, key=lambda slot: felt[slot])
    if section == RATING:
        return str(max(1, min(10, round(10 - 120 * felt["left"]))))
    return "yes" if felt["left"] < 0.03 else "partly" if felt["left"] < 0.05 else "no"


async def simulate(url: str, raters: int, seed: int, shots: Path | None = None) -> int:
    """Let `raters` simulated raters take part; returns how many questions they answered. Raises BrowserError."""
    answered = 0
    if shots is not None:
        shots.mkdir(parents=True, exist_ok=True)
    async with chromium() as browser:
        for number in range(raters):
            await browser.call("Network.clearBrowserCookies")
            answered += await _one(browser, url, seed + number, shots if number == 0 else None)
    return answered


async def _one(browser: Browser, url: str, seed: int, shots: Path | None) -> int:
    draw = random.Random(seed)
    await browser.screen(*DESK)
    await browser.open(url, TIMEOUT_S)
    await _shoot(browser, shots, "consent")
    marked = json.dumps(f'<input name="simulated" value="yes" hidden><input name="seed" value="{seed}" hidden>')
    script = (
        f"const form = document.forms[0]; form.insertAdjacentHTML('beforeend', {marked});"
        "form.consent.checked = true; form.requestSubmit()"
    )
    await browser.submit(f"(() => {{{script}}})()", TIMEOUT_S)
    shown: set[str] = set()
    for count in range(MAX_QUESTIONS):
        if not await browser.evaluate("Boolean(document.querySelector('.banner'))"):
            raise BrowserError("the study does not say that this rater is simulated")
        seen = await browser.evaluate(_LOOK)
        if not seen["values"]:
            await _shoot(browser, shots, "thanks")
            return count
        section = PREFERENCE if "right" in seen["values"] else MEANING if "partly" in seen["values"] else RATING
        if section not in shown:
            shown.add(section)
            await _shoot(browser, shots, section.lower())
        chosen = json.dumps(answer(section, seen["distances"], draw))
        pick = f"document.querySelector('input[name=value][value=' + JSON.stringify({chosen}) + ']').click();"
        await browser.submit(f"{pick} document.querySelector('form').requestSubmit()", TIMEOUT_S)
    raise BrowserError(f"the study did not end after {MAX_QUESTIONS} questions")


async def _shoot(browser: Browser, shots: Path | None, name: str) -> None:
    """The page on a phone and a desk, light and dark."""
    if shots is None:
        return
    for size in (PHONE, DESK):
        for dark in (False, True):
            await browser.screen(*size, dark=dark)
            await browser.screenshot(shots / f"{name}-{size[0]}-{'dark' if dark else 'light'}.png")
    await browser.screen(*DESK)
