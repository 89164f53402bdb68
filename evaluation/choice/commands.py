"""`sketchwire evaluate choice …`: the floor's calibration, and what `auto` does at it.

In: folders of images, the metrics' weights (SKETCHWIRE_METRIC_WEIGHTS). Out: tables for people, JSON for machines, and
pictures in a folder. Refuses: missing weights and folders without images, with one clear line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from evaluation.choice.candidates import Draw
from evaluation.choice.dataset import examples
from proxy.config import TIERS

T = TypeVar("T")
choice = typer.Typer(help="The floor of quality, and what auto chooses at it.", no_args_is_help=True)
Data = Annotated[Path, typer.Option("--data", help="Folder of images; sub-folders too.", exists=True)]
Kept = Annotated[Path, typer.Option("--kept", help="Folder for pictures and figures; what is there is not made again.")]
Limit = Annotated[int, typer.Option(help="Take only so many images of the half; 0 takes all.", min=0)]


@choice.command("calibrate")
def calibrate_command(
    data: Annotated[list[Path], typer.Option("--data", help="Folder of images; give it again for more.", exists=True)],
    kept: Kept,
    limit: Limit = 0,
    write: Annotated[bool, typer.Option("--write", help="Write proxy/encode/calibration.json.")] = False,
) -> None:
    """Fit the floor's estimates to LPIPS-VGG and VGG16 on the calibration half."""
    from evaluation.choice import calibrate

    draw, engine = _sketch()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=None)
        fitted = _or_parameter(
            lambda: calibrate.calibrate(data, kept, draw, engine, limit, lambda: progress.advance(task))
        )
    table = Table(title=f"{fitted.pictures} pictures of {fitted.images} images; figures across folds by image")
    for column in ("estimate of", "Pearson", "Spearman", "mean error"):
        table.add_column(column, justify="left" if column == "estimate of" else "right")
    for name in fitted.pearson:
        figures = (fitted.pearson[name], fitted.spearman[name], fitted.error[name])
        table.add_row(name, *(f"{figure:.3f}" for figure in figures))
    Console().print(table)
    for name, (vgg16, lpips) in fitted.calibration.margins.items():
        typer.echo(f"margins for {name} pictures: VGG16 {vgg16:.3f}, LPIPS {lpips:.3f}")
    if write:
        calibrate.write(fitted)
        typer.echo(f"written: {calibrate.CALIBRATION}")


@choice.command("report")
def report_command(
    data: Data,
    kept: Kept,
    limit: Limit = 0,
    tier: Annotated[str, typer.Option(help=f"One of {', '.join(TIERS[:3])}.")] = TIERS[1],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What auto sends for the held-out half, how good it is, and what else could have been sent."""
    from evaluation.choice import report

    if tier not in TIERS[:3]:
        raise typer.BadParameter(f"no such tier: {tier}; known: {', '.join(TIERS[:3])}")
    draw, _ = _sketch()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=None)
        found = examples(data, held=True, limit=limit)
        results = _or_parameter(lambda: report.run(found, kept, draw, tier, lambda: progress.advance(task)))
    if not results:
        raise typer.BadParameter("no images of the held-out half there")
    summary = report.summarise(results)
    if as_json:
        typer.echo(json.dumps(asdict(summary) | {"worst": [asdict(r) for r in report.worst(results)]}))
        return
    table = Table(title=f"{summary.images} held-out images, tier {tier}", show_header=False)
    for label, value in _lines(summary):
        table.add_row(label, value)
    Console().print(table)
    for r in report.worst(results):
        pictures = kept / f"{Path(r.name).stem[:60]}.png"
        typer.echo(f"worst: VGG16 {r.similar:.3f}, {r.kind}, sent as {r.sent} in {r.auto_bytes} bytes: {pictures}")


def _lines(s: object) -> list[tuple[str, str]]:
    from evaluation.choice.report import Summary

    assert isinstance(s, Summary)
    return [
        ("sent as", ", ".join(f"{name} {count}" for name, count in s.sent.items())),
        ("VGG16 ≥ floor and LPIPS-VGG ≤ AVIF q20 at half size", f"{s.good:.1%} of the images"),
        ("… VGG16 alone, LPIPS-VGG alone", f"{s.similar_good:.1%}, {s.near_good:.1%}"),
        ("origin's bytes", f"{s.origin_bytes:,}"),
        ("auto", f"{s.auto_bytes:,} ({1 - s.auto_bytes / s.origin_bytes:.1%} saved)"),
        ("best of AVIF and WebP at the same floor", f"{s.classical_bytes:,}"),
        ("best fixed bundle mode at the same floor", f"{s.bundle_bytes:,}"),
        ("auto smaller than best of AVIF and WebP", f"{s.smaller_than_classical:.1%} of the images"),
        ("auto no larger than that", f"{s.smaller_or_equal:.1%} of the images"),
        ("largest share of the origin's bytes", f"{s.largest_share:.1%}"),
        ("CPU ms to encode, median and 95th percentile", f"{s.median_cpu_ms:.0f}, {s.p95_cpu_ms:.0f}"),
    ]  # fmt: skip


def _or_parameter(work: Callable[[], T]) -> T:
    try:
        return work()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _sketch() -> tuple[Draw, str]:
    """(the packaged engine, its label)."""
    import cv2

    from client_runtime.engines import sketch
    from client_runtime.engines.base import Task
    from client_runtime.engines.sketch.engine import SketchEngine
    from proxy.encode.salient import warm

    cv2.setNumThreads(1)
    warm()
    engine = SketchEngine.load(sketch.WEIGHTS, 0)
    return lambda bundles: engine.reconstruct([Task(bundle) for bundle in bundles]), engine.capabilities().label
