"""`sketchwire evaluate study build | serve | report | simulate`.

In: a folder of images, then a folder of stimuli. Out: the study as a web site, its answers, its report. Refuses: what
stimuli, answers and Chromium refuse, in one clear line.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from aiohttp import web
from rich.console import Console
from rich.progress import Progress

from evaluation.metrics.measure import VARIABLE
from evaluation.sets.folder import items

study = typer.Typer(help="A user study: rating, meaning on the page, blind preference.", no_args_is_help=True)
Study = Annotated[Path, typer.Option("--study", help="Folder of the stimuli and the answers.")]
PerSection = Annotated[int, typer.Option(help="Questions of each section, for each participant.", min=1, max=200)]


def register(group: typer.Typer) -> None:
    """Add the group to `evaluate`."""
    group.add_typer(study, name="study")


@study.command("build")
def build_command(
    data: Annotated[Path, typer.Option("--data", help="Folder of images or a JSONL manifest.", exists=True)],
    out: Study,
    limit: Annotated[int, typer.Option(help="Take only so many images, evenly spread; 0 takes all.", min=0)] = 0,
    bpp: Annotated[float, typer.Option(help="Budget of our bundles in bits a pixel of the view.", min=0.001)] = 0.06,
    view: Annotated[int, typer.Option("--view", help="Long side in px at which pictures are shown.", min=64)] = 640,
    weights: Annotated[Path | None, typer.Option(help=f"Folder of the metrics' weights, else {VARIABLE}.")] = None,
) -> None:
    """Make the pictures: originals, ours, and each codec's best in the same bytes."""
    from evaluation.study.stimuli import build

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        found = items(data, limit)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("coding", total=len(found))
            made, left_out = build(found, out, bpp, view, weights, lambda: progress.advance(task))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    for name, why in left_out.items():
        typer.echo(f"left out: {name}: {why}", err=True)
    typer.echo(f"{len(made.images)} images, drawn by {made.engine}, chosen by {made.chosen_by}")


@study.command("serve")
def serve_command(
    study: Study,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets phones on the network in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8088,
    per_section: PerSection = 10,
    contact: Annotated[str, typer.Option(help="Whom participants may ask; shown with the consent.")] = "",
    consent: Annotated[
        Path | None, typer.Option(help="Text of the consent, else the built-in one.", exists=True)
    ] = None,
) -> None:
    """Serve the study until Ctrl-C."""
    paragraphs = consent.read_text(encoding="utf-8").split("\n\n") if consent else ()

    async def run() -> None:
        async with _serving(study, host, port, per_section, contact, tuple(p.strip() for p in paragraphs)) as url:
            typer.echo(f"{url}  (Ctrl-C stops; answers are kept)")
            await asyncio.Event().wait()

    try:
        asyncio.run(run())
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)


@study.command("report")
def report_command(study: Study) -> None:
    """Analyse the answers: report.html and report.json in the study's folder."""
    from evaluation.study import report
    from evaluation.study.answers import Answers
    from evaluation.study.stimuli import read

    try:
        stimuli = read(study)
        with Answers(study) as answers:
            written = report.write(stimuli, answers.all(stimuli.digest), study)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo("\n".join(map(str, written)))


@study.command("simulate")
def simulate_command(
    study: Study,
    raters: Annotated[int, typer.Option(help="Simulated raters, one after the other.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the first; the next ones follow.", min=0, max=10**8)] = 1,
    per_section: PerSection = 10,
    shots: Annotated[Path | None, typer.Option(help="Folder for screenshots of each kind of page.")] = None,
) -> None:
    """Walk simulated raters through the study in Chromium; their answers are marked as simulated."""
    from evaluation.collect.chromium import BrowserError
    from evaluation.study.simulated import simulate

    async def run() -> int:
        async with _serving(study, "127.0.0.1", 0, per_section, "", ()) as url:
            return await simulate(url, raters, seed, shots)

    try:
        answered = asyncio.run(run())
    except (ValueError, OSError, BrowserError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{answered} answers by {raters} simulated raters, marked as such in the database and in every report")


@asynccontextmanager
async def _serving(
    folder: Path, host: str, port: int, per_section: int, contact: str, consent: tuple[str, ...]
) -> AsyncIterator[str]:
    """The study's address while it is served."""
    from evaluation.study.answers import Answers
    from evaluation.study.server import Setting, application
    from evaluation.study.stimuli import read

    with Answers(folder) as answers:
        app = application(read(folder), answers, Setting(per_section, consent, contact))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            yield f"http://{host}:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()
