"""`sketchwire demo`: see what the pair saves, in one command.

In: options. Out: a table, a gallery, exit status 0; with --json a last line for scripts. Refuses: with status 1 a run
in which an image broke, was drawn although it must stay real, or could not be accounted for.
"""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Annotated

import typer

from proxy.config import MODES

FAILED = 1


def register(app: typer.Typer) -> None:
    """Add `demo`. Everything heavy is imported when it runs."""

    @app.command("demo")
    def demo(
        out: Annotated[
            Path, typer.Option(metavar="DIR", help="Where the site, the gallery and report.json go.")
        ] = Path("demo-out"),
        once: Annotated[bool, typer.Option("--once", help="Stop when the table and the gallery are done.")] = False,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print the sums as a JSON object on the last line of standard output.")
        ] = False,
        pages: Annotated[int | None, typer.Option(min=1, metavar="N", help="Visit only the first N pages.")] = None,
        screenshots: Annotated[
            bool, typer.Option("--screenshots/--no-screenshots", help="Photograph whole pages with Chromium.")
        ] = True,
        port: Annotated[int, typer.Option(min=0, max=65_535, help="Port for browsers; 0 takes a free one.")] = 0,
        mode: Annotated[str, typer.Option(help=f"What to send: {', '.join(MODES)}.")] = "auto",
    ) -> None:
        """Load a small newspaper through both proxies, and show each image before and after."""
        from rich.console import Console

        from proxy.demo.pair import PairFailed
        from proxy.demo.run import Options, run
        from proxy.demo.site import DemoIncomplete

        if mode not in MODES:
            raise typer.BadParameter(f"{mode!r} is none of {', '.join(MODES)}", param_hint="--mode")
        console = Console(stderr=as_json)
        try:
            sums = asyncio.run(run(Options(out, once, pages, screenshots, port, mode), console))
        except asyncio.CancelledError:  # SIGTERM
            raise typer.Exit(128 + signal.SIGTERM) from None
        except (DemoIncomplete, PairFailed) as error:
            typer.echo(f"sketchwire demo: {error}", err=True)
            raise typer.Exit(FAILED) from error
        if as_json:
            typer.echo(json.dumps(sums.as_json()))
        if sums.broken:
            raise typer.Exit(FAILED)
