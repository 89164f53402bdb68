"""Collects: walks the sites of every category until it has its share of images.

In: a `Plan`, sites. Out: a folder with the images, `index.jsonl` as `evaluation.sets` reads it, `collection.json`
(what was left out and why, the options, the name under which we asked) and the state to resume from. Refuses: to go on
with other options than it began with (`ValueError`).

Every choice (order of sites, of pages, of images) is drawn by the seed and the name alone, and every outcome is
recorded before the next one, so that a run that is killed and resumed makes the same set.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from evaluation.collect.chromium import chromium
from evaluation.collect.fetch import Fetched, Fetcher
from evaluation.collect.gate import Gate, Stay
from evaluation.collect.judge import Kept, judge
from evaluation.collect.pictures import Picture, reserved
from evaluation.collect.sites import Site, lot, walks
from evaluation.collect.sources import Fetching, Rendering, Seen, Source
from evaluation.collect.state import FAILED, KEPT, REFUSED, ImageRow, PageRow, State
from evaluation.paper.known import MIN_HEIGHT_PX, MIN_WIDTH_PX
from proxy import __version__

NAME = "SketchwireCollect"
INDEX, SUMMARY = "index.jsonl", "collection.json"
IMAGE_BYTES = 20 * 1024 * 1024
TRIES_PER_IMAGE = 4  # images looked at, for each one that a site may give
NOT_STATED = "not stated"
_IMAGES = "image/avif,image/webp,image/*;q=0.8"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is collected: `per_category` images, at most `per_site` of a site, from at most `pages` pages of it."""

    contact: str
    per_category: int = 50
    per_site: int = 3
    pages: int = 3
    seed: int = 1
    render: bool = False
    min_width_px: int = MIN_WIDTH_PX
    min_height_px: int = MIN_HEIGHT_PX

    @property
    def user_agent(self) -> str:
        """What every request says: who asks, and where to complain."""
        return f"Mozilla/5.0 (compatible; {NAME}/{__version__}; +{self.contact})"


@dataclass(frozen=True, slots=True)
class Collected:
    """What there is at the end: images by category, the pages and images left out by reason."""

    index: Path
    images: dict[str, int]
    left_out: dict[str, dict[str, int]]


async def collect(
    sites: Sequence[Site], plan: Plan, out: Path, delay_s: float = 1.0, parallel: int = 4, again: bool = False,
    tick: Callable[[str], None] = lambda category: None, flags: Sequence[str] = (),
) -> Collected:  # fmt: skip
    """Collect into `out`, or go on with what is there. `tick` is called with the category of each image there is."""
    listed = hashlib.sha256(json.dumps([asdict(site) for site in sites]).encode()).hexdigest()
    with State(out, {**asdict(plan), "sites": listed}) as state:
        if again:
            state.forget_failures()
        headers = {"User-Agent": plan.user_agent, "Accept-Language": "en;q=0.9, *;q=0.5"}
        hosts = frozenset(site.host for site in sites)
        try:
            async with aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session:
                gate = Gate(session, NAME, delay_s, hosts)
                fetcher = Fetcher(session, gate)
                async with _source(plan, gate, fetcher, flags) as source:
                    walk = _Walk(plan, out, state, source, fetcher, tick)
                    await walk.all(walks(sites, plan.seed), parallel)
        finally:
            collected = _write(state, plan, out)
    return collected


@contextlib.asynccontextmanager
async def _source(plan: Plan, gate: Gate, fetcher: Fetcher, flags: Sequence[str]) -> AsyncIterator[Source]:
    if not plan.render:
        yield Fetching(fetcher)
        return
    async with chromium(*flags, f"--user-agent={plan.user_agent}") as browser:
        yield Rendering(browser, gate, IMAGE_BYTES)


class _Walk:
    """The walk of one run."""

    def __init__(
        self, plan: Plan, out: Path, state: State, source: Source, fetcher: Fetcher, tick: Callable[[str], None]
    ) -> None:
        self._plan, self._out, self._state, self._tick = plan, out, state, tick
        self._source, self._fetcher = source, fetcher

    async def all(self, categories: dict[str, list[Site]], parallel: int) -> None:
        """Every category on its own, at most `parallel` at a time."""
        free = asyncio.Semaphore(parallel)

        async def one(sites: list[Site]) -> None:
            async with free:
                await self._category(sites)

        async with asyncio.TaskGroup() as group:
            for sites in categories.values():
                group.create_task(one(sites))

    async def _category(self, sites: list[Site]) -> None:
        there = 0
        for site in sites:
            if there >= self._plan.per_category:
                return
            gave = self._state.site(site.origin)
            if gave is None:
                gave = await self._site(site, min(self._plan.per_site, self._plan.per_category - there))
                self._state.put_site(site.origin, gave)
            else:
                for _ in range(gave):
                    self._tick(site.category)
            there += gave

    async def _site(self, site: Site, wanted: int) -> int:
        """How many images a site gave."""
        waiting, there, looked_at = [f"{site.origin}/"], 0, set[str]()
        for number in range(self._plan.pages):
            if number >= len(waiting):
                break
            page, seen = await self._page(site, waiting[number])
            if number == 0:
                waiting += sorted(set(page.links), key=lambda url: lot(self._plan.seed, url))
            pictures = [_picture(value) for value in page.pictures]
            for picture in sorted(pictures, key=lambda p: lot(self._plan.seed, p.url)):
                if picture.url in looked_at:
                    continue
                if there >= wanted or len(looked_at) >= TRIES_PER_IMAGE * wanted:
                    return there
                looked_at.add(picture.url)
                if (await self._image(site, page, picture, seen)).status == KEPT:
                    there += 1
                    self._tick(site.category)
        return there

    async def _page(self, site: Site, url: str) -> tuple[PageRow, Seen | None]:
        """A page as it was recorded, else as it is seen now. Rendered pages whose images are not all recorded are
        looked at again: their images' bytes came with them.
        """
        recorded = self._state.page(site.origin, url)
        if recorded is not None and (not self._plan.render or recorded.status != KEPT or self._decided(site, recorded)):
            return recorded, None
        seen = await self._source.see(url)
        if isinstance(seen, Stay):
            row = PageRow(FAILED if seen.passing else REFUSED, seen.why)
        elif recorded is not None:
            return recorded, seen
        else:
            pictures = tuple(asdict(picture) for picture in seen.page.pictures)
            row = PageRow(KEPT, "", seen.url, seen.page.title, pictures, seen.page.links)
        self._state.put_page(site.origin, url, _now(), row)
        return row, None if isinstance(seen, Stay) else seen

    def _decided(self, site: Site, page: PageRow) -> bool:
        return all(self._state.image(site.origin, str(picture["url"])) for picture in page.pictures)

    async def _image(self, site: Site, page: PageRow, picture: Picture, seen: Seen | None) -> ImageRow:
        """An image as it was recorded, else as it is decided now."""
        recorded = self._state.image(site.origin, picture.url)
        if recorded is not None:
            return recorded
        body = await self._bytes(picture, seen)
        at = _now()
        if isinstance(body, Stay):
            row = ImageRow(FAILED if body.passing else REFUSED, body.why)
        else:
            row = await self._judged(site, page, picture, body, at)
        self._state.put_image(site.origin, picture.url, at, site.category, row)
        return row

    async def _bytes(self, picture: Picture, seen: Seen | None) -> Fetched | Stay:
        if seen is not None and seen.bodies is not None:
            return seen.bodies.get(picture.url) or Stay("not loaded by the page")
        found = await self._fetcher.get(picture.url, _IMAGES, IMAGE_BYTES)
        return Stay("its headers reserve it") if isinstance(found, Fetched) and reserved(found.headers) else found

    async def _judged(self, site: Site, page: PageRow, picture: Picture, body: Fetched, at: str) -> ImageRow:
        kept = await asyncio.to_thread(judge, body.body, self._plan.min_width_px, self._plan.min_height_px)
        if isinstance(kept, Stay):
            return ImageRow(REFUSED, kept.why)
        if self._state.has(site.category, kept.sha256):
            return ImageRow(REFUSED, "the category has it already", kept.sha256)
        host = site.host.replace(":", "-")
        file = f"{site.category}/{host}__{kept.sha256[:16]}.{kept.ending}"
        _save(self._out / file, body.body)
        return ImageRow(KEPT, "", kept.sha256, _line(site, page, picture, body, kept, file, at))


def _line(site: Site, page: PageRow, picture: Picture, body: Fetched, kept: Kept, file: str, at: str) -> dict[str, Any]:
    """An image's line of the index; its first fields are those that `evaluation.sets` reads."""
    return {
        "file": file, "set": site.category, "licence": picture.licence or NOT_STATED,
        "width": kept.width_px, "height": kept.height_px, "bytes": len(body.body), "caption": picture.words,
        "category": site.category, "site": site.origin, "rank": site.rank, "page": page.final_url,
        "page_title": page.title, "url": picture.url, "fetched_url": body.url, "fetched_at": at,
        "media_type": kept.media_type, "sha256": kept.sha256, "alt": picture.alt, "figcaption": picture.caption,
        "displayed_px": list(picture.displayed_px) if picture.displayed_px else None,
        "licence_of": picture.licence_of, "copyright": kept.copyright,
    }  # fmt: skip


def _write(state: State, plan: Plan, out: Path) -> Collected:
    """The index, each image once; the first category in the alphabet has it."""
    lines: dict[str, dict[str, Any]] = {}
    for line in state.kept():
        lines.setdefault(str(line["sha256"]), line)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines.values())
    _save(out / INDEX, text.encode())
    counts: dict[str, int] = {}
    for line in lines.values():
        counts[str(line["set"])] = counts.get(str(line["set"]), 0) + 1
    licences: dict[str, int] = {}
    for line in lines.values():
        licences[str(line["licence"])] = licences.get(str(line["licence"]), 0) + 1
    left_out = state.reasons()
    summary = {
        "images": counts, "licences": licences, "left_out": left_out, "user_agent": plan.user_agent,
        "options": asdict(plan), "written_at": _now(),
    }  # fmt: skip
    _save(out / SUMMARY, (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())
    return Collected(out / INDEX, counts, left_out)


def _picture(value: Any) -> Picture:
    size = value["displayed_px"]
    return Picture(**{**value, "displayed_px": (size[0], size[1]) if size else None})


def _save(file: Path, data: bytes) -> None:
    """Whole or not at all, also if the power fails between."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    with part.open("wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(file)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
