"""Page loads over a thin link: directly, by ziproxy, by chained proxies, by the link, by the link without bundles.

In: a folder of pictures, shapes of the link, ways, loaders. Out: a table of medians and ratios in Markdown, and JSON.
Refuses: nothing; a way that does not work is told and left out.

    python -m evaluation.linkbench --pictures ../shared/eval/web --profiles 256:300 --ways direct,ziproxy,plain,link

`plain` is the link without bundles. `--quick` is one page, one shape of the link, the page loader and one round, and
gives the encoder less time, so that on a slow machine some pictures cross as they are. The page loader asks as browsers
do over HTTP/1.1; `chromium` is a real one, and has a first contentful paint. Pictures are shrunk to 1024 px and are
JPEG at quality 85. Warm means that the page was loaded over the same proxies before it is measured, by a browser with
nothing stored; cold is that first load, told apart. With `--settle` it was loaded twice, and upstream had that long to
polish its files. With a loss, `lossy.py` models TCP.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp

from evaluation.linkbench import browser, loader
from evaluation.linkbench.loader import Load
from evaluation.linkbench.pages import make_pages
from evaluation.linkbench.stand import StandFailed, end_on_sigterm
from evaluation.linkbench.ways import JOINTS, Shape, Way, way_to

LOADERS: dict[str, Callable[[Way, int, int], Awaitable[Load]]] = {"pages": loader.load, "chromium": browser.load}
PROFILES = "64:600,256:300,2000:80"
WARM_TRIES = 60
ENCODE_S, QUICK_ENCODE_S = 60.0, 12.0  # for a picture, while the page is loaded first
TROUBLE = (StandFailed, AssertionError, aiohttp.ClientError, subprocess.SubprocessError, OSError)  # also TimeoutError
HEAD = (
    "link",
    "way",
    "loader",
    "TTFB s",
    "FCP s",
    "load s",
    "slowest s",
    "bytes",
    "direct ÷ load",
    "bytes fewer",
    "proxies' CPU s",
)


async def first(way: Way, page: int, per_page: int) -> Load:
    """The first load of a page, once the proxies and the link between them answer."""
    for last in [False] * WARM_TRIES + [True]:
        try:
            return await loader.load(way, page, per_page)
        except (AssertionError, aiohttp.ClientError):
            if last:
                raise
            await asyncio.sleep(1.0)
    raise AssertionError


async def measure(
    way: Way, pages: int, per_page: int, rounds: int, loaders: list[str], settle_s: float = 0.0
) -> dict[str, Any]:
    """The first load of each page, and by loader the later ones with their medians. With `settle_s`, each page is
    loaded once more after the first load, and that long is waited, so that upstream can polish its files.
    """
    cold = [await first(way, page, per_page) for page in range(pages)]
    if settle_s:
        for page in range(pages):
            await loader.load(way, page, per_page)
        await asyncio.sleep(settle_s)
    told: dict[str, Any] = {"cold": [asdict(each) for each in cold]}
    for name in loaders:
        loads = [await LOADERS[name](way, page, per_page) for _ in range(rounds) for page in range(pages)]
        told[name] = {"loads": [asdict(each) for each in loads], "median": median(loads)}
    return told


def median(loads: list[Load]) -> dict[str, float | None]:
    """The median of each figure."""
    found: dict[str, float | None] = {}
    for key in asdict(loads[0]):
        values = [getattr(each, key) for each in loads if getattr(each, key) is not None]
        found[key] = statistics.median(values) if values else None
    return found


def table(figures: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Medians and ratios to `direct`, for each link and loader."""
    lines = [f"| {' | '.join(HEAD)} |", f"|---|---|---|{'--:|' * (len(HEAD) - 3)}"]
    for shape, ways in figures.items():
        for name in LOADERS:
            direct = ways.get("direct", {}).get(name, {}).get("median")
            for joint, told in ways.items():
                if name in told:
                    lines.append(_line(shape, joint, name, told[name], direct))
            for joint, told in ways.items():
                if name in told and name == "pages" and joint not in ("direct", "ziproxy"):
                    firsts = [Load(**each) for each in told["cold"]]
                    cold = {"median": median(firsts), "loads": told["cold"]}
                    lines.append(_line(shape, f"{joint}, first load", name, cold, direct))
    return "\n".join(lines)


def _line(shape: str, joint: str, name: str, told: dict[str, Any], direct: dict[str, Any] | None) -> str:
    middle, slowest_s = told["median"], max(each["load_s"] for each in told["loads"])
    fcp = "–" if middle["fcp_s"] is None else f"{middle['fcp_s']:.2f}"
    ratio = fewer = "–"
    if direct is not None:
        ratio = f"{direct['load_s'] / middle['load_s']:.1f}×"
        fewer = f"{1 - middle['wire_bytes'] / direct['wire_bytes']:.1%}"
    cpu = f"{middle['cpu_s']:.2f}" if middle["cpu_s"] else "–"
    seconds = f"{middle['ttfb_s']:.2f} | {fcp} | {middle['load_s']:.1f} | {slowest_s:.1f}"
    return f"| {shape} | {joint} | {name} | {seconds} | {middle['wire_bytes']:,.0f} | {ratio} | {fewer} | {cpu} |"


def shapes(profiles: str, losses: str) -> list[Shape]:
    """`256:300,64:600` and `0,0.02`: each with each."""
    pairs = [tuple(map(float, each.split(":"))) for each in profiles.split(",")]
    return [Shape(kbit_s, rtt_ms, float(loss)) for kbit_s, rtt_ms in pairs for loss in losses.split(",")]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--profiles", help=f"KBIT_S:RTT_MS, … (default {PROFILES}; quick: 256:300)")
    parser.add_argument("--loss", help="shares of packets lost, … (default 0,0.02; quick: 0)")
    parser.add_argument("--ways", help=f"of {', '.join(JOINTS)} (quick: without plain and chain)")
    parser.add_argument("--loaders", help=f"of {', '.join(LOADERS)} (quick: pages)")
    parser.add_argument("--pages", type=int, help="default 2; quick: 1")
    parser.add_argument("--per-page", type=int, default=20)
    parser.add_argument("--rounds", type=int, help="default 5; quick: 1")
    parser.add_argument("--settle", type=float, default=0.0, help="seconds for polishing after a second load")
    parser.add_argument("--quick", action="store_true", help="a small set, to see that everything works")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    end_on_sigterm()
    quick = options.quick
    ways = (options.ways or ("direct,ziproxy,link" if quick else ",".join(JOINTS))).split(",")
    loaders = (options.loaders or ("pages" if quick else ",".join(LOADERS))).split(",")
    pages, rounds = options.pages or (1 if quick else 2), options.rounds or (1 if quick else 5)
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as root:
        for shape in shapes(
            options.profiles or ("256:300" if quick else PROFILES), options.loss or ("0" if quick else "0,0.02")
        ):
            found = figures.setdefault(str(shape), {})
            for joint in ways:
                folder = Path(root) / str(len(figures)) / joint
                folder.mkdir(parents=True)
                size = make_pages(folder, options.pictures, pages, options.per_page)
                try:
                    with way_to(folder, joint, shape, QUICK_ENCODE_S if quick else ENCODE_S) as way:
                        settle_s = options.settle if joint in ("chain", "link") else 0.0
                        found[joint] = asyncio.run(measure(way, pages, options.per_page, rounds, loaders, settle_s))
                except TROUBLE as error:
                    print(f"{shape}, {joint}: not measured: {error or type(error).__name__}", flush=True)
                    continue
                for name in loaders:
                    print(f"{shape}, {joint}, {name}, {size} B:", json.dumps(found[joint][name]["median"]), flush=True)
                if options.json:  # also when what follows is cut off
                    options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"\n{table(figures)}")


if __name__ == "__main__":
    main()
