"""`sketchwire doctor`: what works on this machine, and what to do about the rest.

In: a configuration. Out: a line for each check, or one JSON object; exit code 1 when something needed is broken.
Refuses: a configuration that cannot be loaded (`ConfigError`, exit code 2).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from proxy.cli.config import ConfigFile
from proxy.cli.exits import FAILED
from proxy.config import load
from proxy.doctor import Check, State, examine

MARKS = {
    State.OK: "[green]✓[/green]",
    State.NOTE: "[dim]·[/dim]",
    State.WARNING: "[yellow]![/yellow]",
    State.BROKEN: "[red]✗[/red]",
}
EPILOG = """
sketchwire doctor

sketchwire doctor --config configs/downstream.toml --json

Exit code 1 means that something needed is broken (✗); what could be better (!) or is optional (·) does not count.
"""


def register(app: typer.Typer) -> None:
    """Add `doctor`."""

    @app.command("doctor", epilog=EPILOG)
    def doctor(
        config: ConfigFile = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
    ) -> None:
        """Check packages, codecs, engines, folders, certificates and ports; say what to do about each problem."""
        settings = load(config)
        console, found, area = Console(), [], ""
        for check in examine(settings):
            found.append(check)
            if not as_json:
                if check.area != area:
                    area = check.area
                    console.print(f"\n[bold]{area}[/bold]")
                console.print(_line(check), highlight=False, soft_wrap=True)
        broken = [check for check in found if check.state is State.BROKEN]
        if as_json:
            typer.echo(json.dumps({"ok": not broken, "checks": [asdict(check) for check in found]}, indent=2))
        elif broken:
            console.print(f"\n[red]{len(broken)} needed things are broken: {', '.join(c.name for c in broken)}[/red]")
        else:
            console.print("\n[green]Everything needed works.[/green] Next: `sketchwire up`")
        if broken:
            raise typer.Exit(FAILED)


def _line(check: Check) -> str:
    line = f" {MARKS[check.state]} {escape(check.name):<22} {escape(check.detail)}"
    if check.remedy and check.state is not State.OK:
        line += f"\n   [dim]→ {escape(check.remedy)}[/dim]"
    return line
