"""`sketchwire encode`: images to bundles.

In: an image or a folder of images. Out: bundle files, and what was decided for each image. Refuses: to overwrite files
without --force; in mode auto, to write a bundle that gains nothing (exit code 3).
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from proxy.cli.exits import FAILED, NOTHING_TO_GAIN, USAGE, fail
from proxy.cli.report import percent, size
from proxy.config import MODES

if TYPE_CHECKING:
    from proxy.cli.batch import Job, Outcome, Terms

EPILOG = """
sketchwire encode cat.jpg    [dim]only say what would be made of it[/dim]

sketchwire encode cat.jpg -o cat.swb --mode edges+palette

sketchwire encode cat.jpg -o cat.swb --mode prompt --caption "A ginger cat asleep on a warm stone wall"

sketchwire encode photos/ -o bundles/ --page https://example.org/gallery.html

sketchwire encode photos/ --json > decisions.jsonl    [dim]a line for each image, then a summary[/dim]

Exit codes: 0 bundles were made · 1 an image could not be encoded · 2 wrong usage · 3 nothing to gain
"""


def register(app: typer.Typer) -> None:
    """Add `encode`."""

    @app.command("encode", epilog=EPILOG)
    def encode(
        source: Annotated[
            Path, typer.Argument(metavar="IMG|FOLDER", exists=True, help="An image, or a folder of images.")
        ],
        output: Annotated[
            Path | None,
            typer.Option("--output", "-o", metavar="FILE|DIR", help="Where bundles go; without it nothing is written."),
        ] = None,
        mode: Annotated[
            str, typer.Option(help=f"One of {', '.join(MODES)}; all but auto always make a bundle.")
        ] = "auto",
        page: Annotated[
            str | None,
            typer.Option(metavar="URL|FILE", help="Page whose words around the images become their prompts."),
        ] = None,
        caption: Annotated[
            str | None,
            typer.Option(metavar="TEXT", help="What one image shows: its prompt, instead of the page's words."),
        ] = None,
        detect: Annotated[
            bool, typer.Option("--detect/--no-detect", help="Look for faces, text and codes, and send them as pixels.")
        ] = True,
        scale_to: Annotated[
            int, typer.Option(metavar="PX", min=0, help="Scale the long side down to this first, for experiments.")
        ] = 0,
        jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes for a folder; 0: one a core.")] = 0,
        force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite existing bundles.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of text.")] = False,
    ) -> None:
        """Encode an image, or every image in a folder, and say what was decided."""
        from proxy.cli import batch
        from proxy.cli.pagewords import load_page

        if mode not in MODES:
            raise typer.BadParameter(f"{mode!r} is not one of {', '.join(MODES)}", param_hint="--mode")
        if caption is not None and (source.is_dir() or not caption.strip()):
            fail("--caption is the description of one image, and not empty", USAGE)
        if source.is_dir() and output is not None and output.exists() and not output.is_dir():
            fail(f"{output} is a file; bundles of a folder go to a folder", USAGE)
        work = batch.jobs(source, output)
        if not work:
            fail(f"{source}: no images in it ({', '.join(sorted(batch.SUFFIXES))})")
        existing = [job.target for job in work if job.target is not None and job.target.exists()]
        if existing and not force:
            more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
            fail(f"{existing[0]}{more} exists already; --force overwrites", USAGE)
        terms = batch.Terms(mode, load_page(page) if page else None, scale_to, caption, detect)
        if source.is_dir():
            outcomes = asyncio.run(_folder(work, terms, jobs or os.cpu_count() or 1, as_json))
        else:
            outcomes = [batch.encode_here(work[0], terms)]
            _tell(outcomes[0], as_json)
            if page and outcomes[0].words is None:
                typer.echo(f"note: {page} has no words for {source.name}", err=True)
        _end(outcomes, mode)


async def _folder(work: list[Job], terms: Terms, workers: int, as_json: bool) -> list[Outcome]:
    from proxy.cli.batch import encode_many

    outcomes = []
    columns = (TextColumn("encoding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=len(work))
        async for outcome in encode_many(work, terms, min(workers, len(work))):
            outcomes.append(outcome)
            progress.advance(bar)
            if as_json:
                _tell(outcome, as_json)
    if as_json:
        typer.echo(json.dumps({"summary": summary(outcomes)}))
    else:
        _show_summary(Console(), outcomes)
    return outcomes


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """The figures of a folder for machines; "saved" compares all images' bytes with what would be sent for them."""
    made = [outcome.sent_bytes for outcome in outcomes if outcome.decision == "bundle"]
    origin, sent = sum(o.origin_bytes for o in outcomes), sum(o.sent_bytes for o in outcomes)
    groups = Counter((o.decision, o.reason or o.mode) for o in outcomes)
    return {
        "images": len(outcomes),
        "bundles": len(made),
        "origin_bytes": origin,
        "sent_bytes": sent,
        "saved_percent": round(100.0 * (1 - sent / origin), 3) if origin else None,
        "median_bundle_bytes": statistics.median(made) if made else None,
        "groups": [{"decision": d, "why": why, "images": count} for (d, why), count in groups.most_common()],
    }


def _show_summary(console: Console, outcomes: list[Outcome]) -> None:
    table = Table(title="what was decided", title_justify="left")
    for head in ("decision", "mode or reason"):
        table.add_column(head)
    for head in ("images", "original", "sent", "median sent", "saved"):
        table.add_column(head, justify="right")
    for group in summary(outcomes)["groups"]:
        those = [o for o in outcomes if (o.decision, o.reason or o.mode) == (group["decision"], group["why"])]
        table.add_row(group["decision"], group["why"], *_sizes(those))
    table.add_section()
    table.add_row("all", "", *_sizes(outcomes), style="bold")
    console.print(table)
    for outcome in outcomes:
        if outcome.decision == "error":
            line = f"[red]{escape(str(outcome.job.source))}[/red]: {outcome.reason}: {escape(outcome.detail)}"
            console.print(line, highlight=False, soft_wrap=True)


def _sizes(outcomes: list[Outcome]) -> tuple[str, str, str, str, str]:
    origin, sent = sum(o.origin_bytes for o in outcomes), sum(o.sent_bytes for o in outcomes)
    median = size(round(statistics.median(o.sent_bytes for o in outcomes)))
    return (
        f"{len(outcomes):,}",
        size(origin),
        size(sent),
        median,
        percent(100 * (1 - sent / origin) if origin else None),
    )


def _tell(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(outcome.as_object(), ensure_ascii=False))
        return
    name, origin = outcome.job.source.name, size(outcome.origin_bytes)
    if outcome.decision != "bundle":
        detail = f" ({outcome.detail})" if outcome.detail else ""
        typer.echo(f"{name}: {origin}, left as it is: {outcome.reason}{detail}")
        return
    similarity = "" if outcome.score is None else f", preview similarity {outcome.score:.2f}"
    took = f"{sum(outcome.stage_ms.values()):,.0f} ms"
    typer.echo(
        f"{name}: {outcome.width_px}×{outcome.height_px} {outcome.kind}, {origin} → {size(outcome.sent_bytes)} "
        f"as {outcome.mode}, saves {percent(outcome.saved_percent)}{similarity}, {took}"
    )
    if outcome.words:
        typer.echo(f"words: {outcome.words}")
    typer.echo(f"wrote {outcome.job.target}" if outcome.job.target else "nothing written; -o FILE writes the bundle")


def _end(outcomes: list[Outcome], mode: str) -> None:
    decisions = {outcome.decision for outcome in outcomes}
    if "error" in decisions or (mode != "auto" and "original" in decisions):
        raise typer.Exit(FAILED)
    if "bundle" not in decisions:
        raise typer.Exit(NOTHING_TO_GAIN)
