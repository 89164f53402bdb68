"""Pass-through of our pair against a chain of two bare mitmproxies: requests and megabytes a second, processor time.

In: joints, rounds. Out: a table of medians with ratios to `bare`, and JSON. Refuses: answers with a wrong byte; rounds
in which a joint got stuck are told and left out.

    python -m evaluation.linkbench.throughput --rounds 5 --json throughput.json

All stands run at once, and each round asks each of them in turn, in another order every time, so that whatever else the
machine does falls on all of them alike. The client speaks HTTP/2 to the proxy as browsers do, and shares the machine:
where it is the narrowest part, rates are nearer to each other than the proxies are, and processor time tells more.
The wall-clock ratio is of medians, the processor's of sums over all rounds; `bare` has no addons and no accounts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from evaluation.linkbench.pageload import check, client, warm_up
from evaluation.linkbench.stand import JOINTS, Stand, end_on_sigterm, stand


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests of one kind: how large, how many in a round, how many at a time."""

    name: str
    size_bytes: int
    count: int
    parallel: int


@dataclass(frozen=True, slots=True)
class Round:
    """What a round of one kind took: wall clock, and processor time of upstream and downstream."""

    wall_s: float
    upstream_s: float
    downstream_s: float


KINDS = (Kind("small", 2_000, 100, 16), Kind("large", 4_000_000, 6, 3))
VARIETY = 8  # different bodies
STUCK_S = 40.0  # without a byte


async def ask(at: Stand, kind: Kind) -> Round:
    """One round over connections that are warm."""
    gate = asyncio.Semaphore(kind.parallel)
    async with client(at) as browser:
        browser.timeout = httpx.Timeout(STUCK_S)

        async def get(n: int) -> None:
            async with gate:
                answer = await browser.get(at.url(n % 4, f"/r/{kind.size_bytes}/x{n % VARIETY}"))
                answer.raise_for_status()
                check(answer, n % 4, "r", kind.size_bytes, f"x{n % VARIETY}", at)

        await asyncio.gather(*(get(n) for n in range(4)))
        before, began_s = [_cpu_s(each) for each in at.proxies], time.monotonic()
        await asyncio.gather(*(get(n) for n in range(kind.count)))
        took_s = time.monotonic() - began_s
        far_s, near_s = (_cpu_s(each) - then for each, then in zip(at.proxies, before, strict=True))
        return Round(took_s, far_s, near_s)


def _cpu_s(process: object) -> float:
    times = process.cpu_times()  # type: ignore[attr-defined]
    return float(times[0] + times[1])


def measure(stands: dict[str, Stand], kinds: tuple[Kind, ...], rounds: int) -> dict[str, dict[str, list[Round]]]:
    """Rounds by kind and joint."""
    for at in stands.values():
        asyncio.run(warm_up(at))
    told: dict[str, dict[str, list[Round]]] = {kind.name: defaultdict(list) for kind in kinds}
    order = list(stands)
    for n in range(rounds):
        for joint in order[n % len(order) :] + order[: n % len(order)]:
            for kind in kinds:
                try:
                    told[kind.name][joint].append(found := asyncio.run(ask(stands[joint], kind)))
                    cpu_ms = 1000 * (found.upstream_s + found.downstream_s) / kind.count
                    said = f"{found.wall_s:.1f} s, {cpu_ms:.1f} ms of the proxies' CPU a request"
                except httpx.HTTPError as error:
                    said = f"left out: {error or type(error).__name__}"
                print(f"{n + 1}/{rounds} {joint} {kind.name}: {said}", file=sys.stderr, flush=True)
    return told


def summary(kind: Kind, rounds: list[Round]) -> dict[str, float]:
    """Medians of a joint."""
    wall_s = statistics.median(each.wall_s for each in rounds)
    cpus = [sum(each.upstream_s for each in rounds), sum(each.downstream_s for each in rounds)]
    per_request = [1000 * cpu_s / (len(rounds) * kind.count) for cpu_s in cpus]
    return {
        "requests_per_s": kind.count / wall_s,
        "mb_per_s": kind.count * kind.size_bytes / 1e6 / wall_s,
        "upstream_cpu_ms": per_request[0],
        "downstream_cpu_ms": per_request[1],
    }


def table(kinds: tuple[Kind, ...], told: dict[str, dict[str, list[Round]]]) -> str:
    """Markdown."""
    lines = [
        "| body | joint | requests/s | MB/s | of bare | upstream CPU ms a request | downstream's | bare's CPU ÷ this |"
    ]
    lines.append("|---|---|--:|--:|--:|--:|--:|--:|")
    for kind in kinds:
        found = {joint: summary(kind, rounds) for joint, rounds in told[kind.name].items() if rounds}
        bare = found.get("bare")
        for joint, each in found.items():
            cpu = each["upstream_cpu_ms"] + each["downstream_cpu_ms"]
            of_bare = cheaper = "–"
            if bare is not None:
                of_bare = f"{each['requests_per_s'] / bare['requests_per_s']:.0%}"
                cheaper = f"{(bare['upstream_cpu_ms'] + bare['downstream_cpu_ms']) / cpu:.0%}"
            cells = f"{each['requests_per_s']:.1f} | {each['mb_per_s']:.1f} | {of_bare}"
            cpus = f"{each['upstream_cpu_ms']:.1f} | {each['downstream_cpu_ms']:.1f} | {cheaper}"
            lines.append(f"| {kind.size_bytes:,} B | {joint} | {cells} | {cpus} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--joints", default="bare,chain,link", help=f"of {', '.join(JOINTS)}")
    parser.add_argument("--kinds", default=",".join(kind.name for kind in KINDS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    end_on_sigterm()
    kinds = tuple(kind for kind in KINDS if kind.name in options.kinds.split(","))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stands = {
            joint: stack.enter_context(stand(Path(folder) / joint, joint, 0.0)) for joint in options.joints.split(",")
        }
        told = measure(stands, kinds, options.rounds)
    print(table(kinds, told))
    if options.json:
        plain = {
            kind: {joint: [asdict(each) for each in rounds] for joint, rounds in by.items()}
            for kind, by in told.items()
        }
        options.json.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
