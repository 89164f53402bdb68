"""`sketchwire bench`: how fast an engine draws on this machine.

In: command lines. Out: a table, Markdown or JSON of latencies, images a second and memory. Refuses: sizes, modes and
devices that cannot be (exit status 2), and what the engine refuses (1).
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from client_runtime.bench.engines import Made
    from client_runtime.bench.measure import Timing

USAGE = 2
REDUCED_PX, REDUCED_CALLS = 128, 3
COLUMNS = ("mode", "batch", "first ms", "p50 ms", "p95 ms", "images/s", "CPU ms", "peak MiB")

group = typer.Typer(help="Measure this machine.", no_args_is_help=True, add_completion=False)


def register(app: typer.Typer) -> None:
    """Add the group of commands. Everything heavy is imported when one runs."""
    app.add_typer(group, name="bench")


@group.callback()
def _bench() -> None:
    """Measure this machine."""


@group.command("engine")
def engine(
    profile: Annotated[str, typer.Option(help="sketch, or a model profile: its name, TOML file or folder.")] = "sketch",
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Full-size networks with random weights: needs no download.")
    ] = False,
    architecture: Annotated[str, typer.Option(help="For --random-weights: sd15, sd21 or sdxl.")] = "",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; the best there is by default.")] = "",
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16; what the device is fast in.")] = "",
    size: Annotated[int, typer.Option(min=0, help="Side of the pictures in pixels; 0 takes the profile's own.")] = 0,
    steps: Annotated[int, typer.Option(min=0, help="Denoising steps; 0 takes the profile's own.")] = 0,
    batches: Annotated[str, typer.Option("--batch", help="Batch sizes, separated by commas.")] = "1,4,8,16",
    modes: Annotated[str, typer.Option("--mode", help="Bundle modes, separated by commas; all by default.")] = "",
    calls: Annotated[int, typer.Option(min=1, help="Timed calls of each case.")] = 20,
    compiled: Annotated[bool, typer.Option("--compile", help="torch.compile the network first.")] = False,
    reduced: Annotated[
        bool,
        typer.Option("--reduced", help=f"For machines without a GPU: {REDUCED_PX} px, batch 1, {REDUCED_CALLS} calls."),
    ] = False,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="A Markdown table, as in docs/performance.md.")
    ] = False,
) -> None:
    """Measure an engine: latency by mode and batch size, images a second, peak memory, time to compile."""
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "passive"
    )  # before torch: as the runtime does, for a machine that is shared
    from client_runtime.bench.engines import Wish, make
    from client_runtime.bench.subjects import MODES

    if reduced:
        size, batches, calls = size or REDUCED_PX, "1", min(calls, REDUCED_CALLS)
    wanted = tuple(mode for mode in modes.replace(" ", "").split(",") if mode)
    unknown = [mode for mode in wanted if mode not in MODES]
    if unknown:
        raise _stop(f"--mode {unknown[0]}: must be among {', '.join(MODES)}")
    parts = batches.replace(" ", "").split(",")
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 256 for part in parts):
        raise _stop(f"--batch {batches}: must be numbers from 1 to 256, separated by commas")
    logging.getLogger("sketchwire.runtime").setLevel(logging.ERROR)
    made = make(Wish(profile, random_weights, architecture, device, dtype, size, steps, compiled, threads))
    able = tuple(mode for mode in MODES if mode in made.modes)
    refused = [mode for mode in wanted if mode not in able]
    if refused:
        raise _stop(f"--mode {refused[0]}: this engine draws {', '.join(able)}")
    timings = [_case(made, mode, int(part), calls) for mode in wanted or able for part in parts]
    _print(made, timings, as_json, as_markdown)
    made.engine.close()


def _case(made: Made, mode: str, batch: int, calls: int) -> Timing:
    from client_runtime.bench.measure import measure
    from client_runtime.bench.subjects import subject
    from client_runtime.engines.base import Task

    def tasks(number: int) -> list[Task]:
        bundles = [subject(mode, made.side_px, number * batch + place) for place in range(batch)]
        return [Task(bundle, bundle.prompt.text if bundle.prompt else None) for bundle in bundles]

    made.reset()
    timing = measure(mode, batch, calls, tasks, made.engine.reconstruct, peak=made.peak)
    typer.echo(f"{mode}, batch {batch}: {timing.p50_ms:.0f} ms", err=True)
    return timing


def _print(made: Made, timings: list[Timing], as_json: bool, as_markdown: bool) -> None:
    if as_json:
        found: dict[str, Any] = {"device": made.device, "notes": made.notes, "load_s": round(made.load_s, 2)}
        found |= {"side_px": made.side_px, "timings": [asdict(timing) for timing in timings]}
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    calls = timings[0].calls if timings else 0
    lines = [made.device, *made.notes, f"{made.side_px}×{made.side_px} px; made in {made.load_s:.1f} s"]
    lines.append(f"each case: {calls} calls; p95 is the slowest of fewer than 20; new words in each call")
    rows = [_row(timing) for timing in timings]
    if as_markdown:
        typer.echo("\n".join(f"- {line}" for line in lines) + "\n")
        typer.echo("| " + " | ".join(COLUMNS) + " |\n|---" + "|--:" * (len(COLUMNS) - 1) + "|")
        for row in rows:
            typer.echo("| " + " | ".join(row) + " |")
        return
    console = Console()
    for line in lines:
        console.print(escape(line), highlight=False, soft_wrap=True)
    table = Table()
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "mode" else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _row(timing: Timing) -> tuple[str, ...]:
    peak = "?" if timing.peak_bytes is None else f"{timing.peak_bytes / (1 << 20):,.0f}"
    return (
        timing.mode,
        str(timing.batch),
        f"{timing.first_ms:,.0f}",
        f"{timing.p50_ms:,.1f}",
        f"{timing.p95_ms:,.1f}",
        f"{timing.images_per_s:.2f}",
        f"{timing.cpu_ms:,.0f}",
        peak,
    )


def _stop(message: str) -> typer.Exit:
    typer.secho(f"sketchwire: {message}", err=True, fg=typer.colors.RED)
    return typer.Exit(USAGE)
