"""Where the time of one page load over the link goes: when the thin link is full, when it is idle, and what crosses it.

In: a folder of pictures, the link's shape. Out: a table of the load's phases, bytes by kind of answer, idle time, and
JSON. Refuses: a page or a picture that does not come (`AssertionError`).

    python -m evaluation.linkbench.anatomy --pictures ../shared/eval/web --profile 256:300

The page was loaded before, so that upstream is warm. A link that is full from the page's first byte to the last
picture's last can only become faster by carrying less; idle time is what other orders, earlier questions or guesses of
upstream's could win. `--at-once 20` asks for all pictures together, as browsers do over https (HTTP/2).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp

from evaluation.linkbench.__main__ import first
from evaluation.linkbench.loader import AT_ONCE, FIELDS
from evaluation.linkbench.pages import make_pages
from evaluation.linkbench.stand import end_on_sigterm
from evaluation.linkbench.ways import Shape, Way, way_to
from proxy.ledger.read import rows_since

LEDGER_S = 3.0


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Seconds from the page's request; `idle` are stretches before the last byte without bytes down the link."""

    page_first_s: float
    page_last_s: float
    pictures_first_s: list[float]
    pictures_last_s: list[float]
    link_first_s: float
    link_last_s: float
    idle: list[tuple[float, float]]
    kinds: dict[str, tuple[int, int, int]]
    load_s: float

    @property
    def idle_s(self) -> float:
        """Of the link, until its last byte."""
        return sum(ends_s - begins_s for begins_s, ends_s in self.idle)


async def dissect(way: Way, page: int, per_page: int, at_once: int) -> Anatomy:
    """Load a page and look at the link meanwhile."""
    ledger = way.wire.ledger
    last_id = max((row_id for row_id, _ in rows_since(ledger, 0)), default=0) if ledger else 0
    way.wire.busy()
    firsts, lasts = [0.0] * per_page, [0.0] * per_page
    gate = asyncio.Semaphore(at_once)
    timeout, connector = aiohttp.ClientTimeout(total=900), aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(headers=FIELDS, timeout=timeout, connector=connector) as session:
        began_s = time.monotonic()

        async def ask(name: str, accept: str) -> tuple[float, float]:
            address = f"{way.base}/pages/{page}/{name}"
            async with session.get(address, proxy=way.proxy, headers={"Accept": accept}) as answer:
                first_s = time.monotonic() - began_s
                body = await answer.read()
                assert answer.status == 200 and len(body) > 100, f"{address}: {answer.status}"
                return first_s, time.monotonic() - began_s

        async def picture(n: int) -> None:
            async with gate:
                firsts[n], lasts[n] = await ask(f"{n}.jpg", "image/*,*/*;q=0.8")

        page_s = await ask("index.html", "text/html,*/*;q=0.8")
        await asyncio.gather(*(picture(n) for n in range(per_page)))
        load_s = time.monotonic() - began_s
    busy = [(begins_s - began_s, ends_s - began_s) for begins_s, ends_s in way.wire.busy()]
    busy = [each for each in busy if each[0] < load_s]
    idle = [(before[1], after[0]) for before, after in itertools.pairwise([(0.0, 0.0), *busy])]
    await asyncio.sleep(LEDGER_S)
    kinds: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for _, row in rows_since(ledger, last_id) if ledger else []:
        kind = kinds[f"{row.decision} {row.mode or row.content_type}".strip()]
        kind[0] += 1
        kind[1] += row.link_up_bytes
        kind[2] += row.link_bytes - row.link_up_bytes
    counted = {name: (count, up, down) for name, (count, up, down) in kinds.items()}
    return Anatomy(*page_s, firsts, lasts, busy[0][0], busy[-1][1], idle, counted, load_s)


def told(found: Anatomy, shape: Shape) -> str:
    """Markdown."""
    carried_s = found.link_last_s - found.link_first_s
    longest = sorted(found.idle[1:], key=lambda gap: gap[0] - gap[1])[:5]
    gaps = ", ".join(f"{begins_s:.2f}–{ends_s:.2f}" for begins_s, ends_s in sorted(longest)) or "none"
    delay_s = shape.rtt_ms / 2000
    lines = [
        "| phase | s |",
        "|---|--:|",
        f"| page: first byte | {found.page_first_s:.2f} |",
        f"| page: last byte | {found.page_last_s:.2f} |",
        f"| first picture whole | {min(found.pictures_last_s):.2f} |",
        f"| last byte enters the link | {found.link_last_s:.2f} |",
        f"| last byte leaves it | {found.link_last_s + delay_s:.2f} |",
        f"| last picture whole | {found.load_s:.2f} |",
        f"| link busy | {found.link_last_s - found.idle_s:.2f} |",
        f"| link idle before the first byte | {found.link_first_s:.2f} |",
        f"| link idle between first and last byte | {found.idle_s - found.link_first_s:.2f} of {carried_s:.2f} |",
        f"| the longest of these | {gaps} |",
        "",
        "| answers | number | bytes up | bytes down |",
        "|---|--:|--:|--:|",
    ]
    for name, (count, up_bytes, down_bytes) in sorted(found.kinds.items()):
        lines.append(f"| {name} | {count} | {up_bytes:,} | {down_bytes:,} |")
    return "\n".join(lines)


async def run(way: Way, per_page: int, at_once: int) -> Anatomy:
    """Warm up, then look."""
    await first(way, 0, per_page)
    await first(way, 0, per_page)
    return await dissect(way, 0, per_page, at_once)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--profile", default="256:300", help="KBIT_S:RTT_MS")
    parser.add_argument("--per-page", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="pictures asked for at a time")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    end_on_sigterm()
    shape = Shape(*map(float, options.profile.split(":")))
    with tempfile.TemporaryDirectory() as root:
        make_pages(Path(root), options.pictures, 1, options.per_page)
        with way_to(Path(root), "link", shape) as way:
            found = asyncio.run(run(way, options.per_page, options.at_once))
    print(told(found, shape))
    if options.json:
        options.json.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
