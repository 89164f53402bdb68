"""`sketchwire evaluate collect`.

In: a list of sites, a contact. Out: a folder that `--data` of the other commands takes. Refuses: what the list, the
state and Chromium refuse, in one clear line.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from evaluation.collect.sites import read_sites
from evaluation.paper.known import MIN_HEIGHT_PX, MIN_WIDTH_PX


def register(group: typer.Typer) -> None:
    """Add the command to `evaluate`."""
    group.command("collect")(collect_command)


def collect_command(
    sites: Annotated[Path, typer.Option(help="CSV with a column origin, and rank and category if known.", exists=True)],
    out: Annotated[Path, typer.Option("--out", help="Folder of the set; the same command goes on with it.")],
    contact: Annotated[str, typer.Option(help="Web page or mail address of who collects; every request names it.")],
    categories: Annotated[Path | None, typer.Option(help="CSV with the columns origin, category.", exists=True)] = None,
    per_category: Annotated[int, typer.Option(help="Images of each category.", min=1)] = 50,
    per_site: Annotated[int, typer.Option(help="Images of a site, at most.", min=1)] = 3,
    pages: Annotated[int, typer.Option(help="Pages of a site, at most; the first is its home page.", min=1)] = 3,
    seed: Annotated[int, typer.Option(help="Draws the order of sites, pages and images.")] = 1,
    render: Annotated[
        bool, typer.Option("--render/--fetch", help="Open pages in Chromium, or only read them.")
    ] = False,
    delay: Annotated[
        float, typer.Option(help="Seconds between two requests to a host; robots.txt may ask for more.", min=0.0)
    ] = 1.0,
    parallel: Annotated[int, typer.Option(help="Categories at a time.", min=1)] = 4,
    min_width: Annotated[int, typer.Option(help="Least width in px; the paper's by default.", min=1)] = MIN_WIDTH_PX,
    min_height: Annotated[int, typer.Option(help="Least height in px; the paper's by default.", min=1)] = MIN_HEIGHT_PX,
    again: Annotated[bool, typer.Option("--again", help="Try once more what failed for a passing reason.")] = False,
) -> None:
    """Collect web images with the words of their pages, as the paper did."""
    from evaluation.collect.walk import Plan, collect

    try:
        listed = read_sites(sites, categories)
        plan = Plan(contact, per_category, per_site, pages, seed, render, min_width, min_height)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            names = sorted({site.category for site in listed})
            tasks = {name: progress.add_task(name, total=per_category) for name in names}
            work = collect(listed, plan, out, delay, parallel, again, lambda name: progress.advance(tasks[name]))
            collected = asyncio.run(work)
    except (ValueError, FileNotFoundError) as error:
        raise typer.BadParameter(str(error)) from error
    except KeyboardInterrupt:
        typer.echo("Interrupted; the same command goes on from here.", err=True)
        raise typer.Exit(130) from None
    for name in names:
        typer.echo(f"{name}: {collected.images.get(name, 0)} of {per_category} images")
    for what, reasons in collected.left_out.items():
        for why, count in reasons.items():
            typer.echo(f"left out, {what}: {count} × {why}", err=True)
    typer.echo(str(collected.index))
