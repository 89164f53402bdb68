"""`sketchwire evaluate paper | rd | weights`.

In: folders or manifests of images. Out: a folder with `report.html`, `report.json` and the results that a later run
goes on from. Refuses: what the experiments refuse, in one clear line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from evaluation.metrics.measure import VARIABLE
from evaluation.runs.schedule import default_workers
from evaluation.sets.folder import items

Data = Annotated[
    Path, typer.Option("--data", help="Folder of images, sub-folders too, or a JSONL manifest.", exists=True)
]
Out = Annotated[Path, typer.Option("--out", help="Folder of the report; what is measured there is not measured again.")]
Limit = Annotated[int, typer.Option(help="Take only so many images, evenly spread; 0 takes all.", min=0)]
View = Annotated[int, typer.Option("--view", help="Long side in px at which pictures are compared; 0 keeps it.", min=0)]
Workers = Annotated[int, typer.Option(help="Processes; 0 takes one on small machines.", min=0)]
Weights = Annotated[Path | None, typer.Option(help=f"Folder of the metrics' weights, else {VARIABLE}.")]
Engines = Annotated[str, typer.Option(help="Engines to draw with, the main one first.")]
Detect = Annotated[bool, typer.Option("--detect/--no-detect", help="Look for faces, text and codes.")]
Sheets = Annotated[int, typer.Option(help="Images shown in the report.", min=0)]


def register(group: typer.Typer) -> None:
    """Add the experiments to `evaluate`."""
    group.command("paper")(paper)
    group.command("rd")(rd)
    group.command("weights")(weights_command)


def paper(
    data: Data,
    out: Out,
    synthetic: Annotated[Path | None, typer.Option(help="The synthetic set, as --data.", exists=True)] = None,
    limit: Limit = 0,
    view: View = 512,
    engines: Engines = "sketch,preview,diffusion",
    metrics: Annotated[str, typer.Option(help="Metrics, with commas between them.")] = "vgg16,lpips_alex,ms_ssim",
    weights: Weights = None,
    detect: Detect = True,
    any_size: Annotated[bool, typer.Option(help="Keep images under 512×256, which the paper left out.")] = False,
    workers: Workers = 0,
    sheets: Sheets = 8,
) -> None:
    """The paper's tables and figures, its own beside ours."""
    from evaluation.paper.image import Plan
    from evaluation.paper.run import run

    plan = Plan(_names(engines), _names(metrics), view, weights, detect, not any_size)
    second = items(synthetic, limit) if synthetic else []
    _done(lambda: run(items(data, limit), second, plan, out, workers or default_workers(), sheets))


def rd(
    data: Data,
    out: Out,
    limit: Limit = 0,
    view: View = 512,
    engines: Engines = "sketch,preview",
    metrics: Annotated[
        str, typer.Option(help="Metrics, with commas between them; lpips_vgg is known, too.")
    ] = "lpips_alex,dists,vgg16,ms_ssim,psnr",
    weights: Weights = None,
    detect: Detect = True,
    curves: Annotated[bool, typer.Option(help="Measure curves; they take most of the time.")] = True,
    ocr: Annotated[bool, typer.Option(help="Read text in ablations.")] = True,
    workers: Workers = 0,
    sheets: Sheets = 8,
) -> None:
    """Rate–distortion curves, BD-rates, auto against fixed modes, ablations."""
    from evaluation.rd.image import Plan
    from evaluation.rd.run import run

    plan = Plan(_names(engines), _names(metrics), view, weights, detect, curves, ocr)
    _done(lambda: run(items(data, limit), plan, out, workers or default_workers(), sheets))


def weights_command(out: Out) -> None:
    """Fetch the metrics' weights: torchvision downloads VGG16 and AlexNet, lpips and dists-pytorch hold the rest."""
    from evaluation.metrics.convert import fetch

    try:
        for path in fetch(out):
            typer.echo(str(path))
    except (ImportError, OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"Set {VARIABLE}={out} to use them.")


def _done(work: Callable[[], tuple[Path, Path]]) -> None:
    """Run and say where the report is; Ctrl-C leaves what was measured for the next time."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        html, machine = work()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    except KeyboardInterrupt:
        typer.echo("Interrupted; the same command goes on from here.", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"{html}\n{machine}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
