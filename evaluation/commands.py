"""`sketchwire evaluate …`: what the codec costs and how good it is, measured.

In: folders of images. Out: tables for people, JSON for machines. Refuses: folders without images, with one clear line.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from evaluation import modes
from evaluation.choice.commands import choice
from evaluation.collect import commands as collecting
from evaluation.runs import commands as experiments
from evaluation.study import commands as studies

evaluate = typer.Typer(help="Measure the codec on a folder of images.", no_args_is_help=True)
evaluate.add_typer(choice, name="choice")
experiments.register(evaluate)
collecting.register(evaluate)
studies.register(evaluate)


def register(app: typer.Typer) -> None:
    """Add the `evaluate` group to the command line."""
    app.add_typer(evaluate, name="evaluate")


@evaluate.command("modes")
def modes_command(
    data: Annotated[Path, typer.Option("--data", help="Folder of images; sub-folders too.", exists=True)],
    scale_to: Annotated[int, typer.Option(help="Scale images to this long side first; 0 keeps them.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="Take only so many images; 0 takes all.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    detect: Annotated[bool, typer.Option("--detect/--no-detect", help="Look for faces, text and codes.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bytes and savings of every mode, beside the paper's."""
    try:
        files = modes.images_in(data)[: limit or None]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("encoding", total=len(files))
        outcomes = modes.measure(files, scale_to or None, workers, lambda: progress.advance(task), detect)
    results = modes.summarise(outcomes)
    if as_json:
        typer.echo(json.dumps({"images": len(files), "modes": [asdict(result) for result in results]}))
        return
    table = Table(title=f"{len(files)} images{f', scaled to {scale_to} px' if scale_to else ''}")
    for column in (
        "mode",
        "encoded",
        "median bytes",
        "saved (mean)",
        "saved (total)",
        "the paper",
        "CPU ms",
        "declined",
    ):
        table.add_column(column, justify="left" if column in ("mode", "declined") else "right")
    for r in results:
        why = ", ".join(f"{reason} {count}" for reason, count in r.declined.items())
        saved = f"{r.mean_saved:.1%}", f"{r.total_saved:.1%}"
        paper = "–" if r.mode in ("auto", "thumbnail", "salient") else modes.PAPER_SAVED
        table.add_row(r.mode, str(r.encoded), f"{r.median_bytes:,.0f}", *saved, paper, f"{r.median_cpu_ms:.0f}", why)
    Console().print(table)
    typer.echo("Savings are shares of the original files' bytes; CPU ms is the median per image, one process.")


@evaluate.command("kinds")
def kinds_command(
    data: Annotated[Path, typer.Option("--data", help="Folder of the sets web, kodak and cid22.", exists=True)],
) -> None:
    """What kinds labelled images are told to be, and whether any is generated that must not be."""
    from evaluation import kinds

    try:
        lines = kinds.run(data)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo("\n".join(lines))
