"""Browses a site through a whole pair for a while and says whether anything failed or grew.

    python -m evaluation.soak --minutes 20 --clients 10 --site ../shared/sites

In: a folder with pages (none: a small site made here). Out: a table on standard output, JSON on request. Refuses: to
end with 0 when a request failed, a process was replaced, or memory grew faster than the limit.

The pair is `sketchwire up` with its runtime, as a user starts it; half of the clients browse over https. Memory is the
resident memory of all its processes, every two seconds; growth is the slope of a line by least squares through the
samples after the warm-up, which is the first half unless given: every page is seen, every image encoded and drawn, and
the caches are full of the site only after some minutes. The limit holds for all of them together, and for all but the
encoders, which are replaced when an image takes too long.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import ssl
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from evaluation.soak.memory import ALL, LASTING, LASTING_ALL, MIB, ROLES, Memory, watch
from evaluation.soak.site import make_site, serve
from evaluation.soak.visitors import Tally, Visitor
from proxy.demo.pair import running_pair


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do and what to hold it to."""

    minutes: float
    clients: int
    site: Path | None
    warm_up_s: float
    growth_limit_mib: float  # a minute


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it; `broken` names the limits that did not hold."""

    tally: Tally
    memory: Memory
    seconds: float
    broken: tuple[str, ...]


async def run(plan: Plan) -> Found:
    """Browse as planned. Raises ValueError for a folder without pages, PairFailed when the pair does not start."""
    with tempfile.TemporaryDirectory() as name:
        root = plan.site.resolve() if plan.site else Path(name) / "site"
        if plan.site is None:
            make_site(root)
        state = Path(name) / "state"
        async with serve(root, Path(name) / "origin") as served, running_pair(served.origin, state) as pair:
            trust = ssl.create_default_context(cafile=str(pair.ca))
            origin, tally, memory = served.origin, Tally(), Memory()
            bases = [origin.url("", scheme) for scheme in ("http", "https")]
            began_s = time.monotonic()
            watching = asyncio.create_task(watch(psutil.Process(pair.process.pid), memory, began_s))
            await asyncio.gather(
                *(
                    Visitor(bases[n % 2], served.pages, root, pair.url, tally, n).browse(
                        began_s + plan.minutes * 60, trust
                    )
                    for n in range(plan.clients)
                )
            )
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            ended = pair.process.returncode
        return Found(tally, memory, time.monotonic() - began_s, _broken(plan, tally, memory, ended))


def _broken(plan: Plan, tally: Tally, memory: Memory, ended: int | None) -> tuple[str, ...]:
    found = [f"{count} × {why}" for why, count in tally.failed.items()]
    if ended is not None:
        found.append(f"the pair ended with {ended}")
    for role in LASTING:
        started = sum(each == role for each, _ in memory.pids)
        if started != 1:
            found.append(f"{started} processes were {role}, one after the other")
    for what in (ALL, LASTING_ALL):
        growth = memory.growth(what, plan.warm_up_s) / MIB
        if growth > plan.growth_limit_mib:
            found.append(f"memory ({what}) grows by {growth:.2f} MiB a minute; the limit is {plan.growth_limit_mib:g}")
    return tuple(found)


def table(plan: Plan, found: Found) -> Table:
    """Memory by process."""
    shown = Table(title=f"{plan.clients} clients, {found.seconds / 60:.1f} minutes, warm-up {plan.warm_up_s:.0f} s")
    for column in ("process", "MiB after warm-up", "MiB at the end", "peak MiB", "MiB a minute"):
        shown.add_column(column, justify="left" if column == "process" else "right")
    for role in (*ROLES, LASTING_ALL, ALL):
        _, sizes = found.memory.of(role, plan.warm_up_s)
        if not sizes:
            continue
        mib = [f"{size / MIB:,.0f}" for size in (sizes[0], sizes[-1], max(found.memory.size_bytes[role]))]
        shown.add_row(role, *mib, f"{found.memory.growth(role, plan.warm_up_s) / MIB:+.2f}")
    return shown


def as_json(plan: Plan, found: Found) -> str:
    """The figures, for machines."""
    growth = {role: found.memory.growth(role, plan.warm_up_s) / MIB for role in (*ROLES, LASTING_ALL, ALL)}
    peaks = {role: max(sizes) / MIB for role, sizes in found.memory.size_bytes.items()}
    return json.dumps(
        {
            "minutes": round(found.seconds / 60, 2),
            "warm_up_s": round(plan.warm_up_s, 1),
            "clients": plan.clients,
            "requests": found.tally.requests,
            "failed": dict(found.tally.failed),
            "growth_mib_per_minute": {role: round(value, 3) for role, value in growth.items()},
            "peak_mib": {role: round(value, 1) for role, value in peaks.items()},
            "broken": list(found.broken),
        }
    )


def main(arguments: list[str] | None = None) -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.soak", description="Browse through a pair for long.")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--site", type=Path, help="folder with pages; none: a small site made here")
    parser.add_argument("--warm-up-s", type=float, help="seconds before memory counts; half of the time unless given")
    parser.add_argument("--growth-limit-mib", type=float, default=1.0, help="MiB a minute")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    asked = parser.parse_args(arguments)
    warm_up_s = asked.minutes * 30 if asked.warm_up_s is None else asked.warm_up_s
    plan = Plan(asked.minutes, asked.clients, asked.site, warm_up_s, asked.growth_limit_mib)
    try:
        found = asyncio.run(run(plan))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    Console().print(table(plan, found))
    tally = found.tally
    median_ms = statistics.median(tally.seconds) * 1000 if tally.seconds else 0.0
    print(
        f"{tally.requests} requests on {tally.pages} pages, {tally.failures} failed, {tally.unchanged} unchanged, "
        f"{tally.size_bytes / MIB:.0f} MiB, median {median_ms:.0f} ms"
    )
    for line in found.broken:
        print(f"BROKEN: {line}")
    if asked.json:
        asked.json.write_text(as_json(plan, found) + "\n", encoding="utf-8")
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
