"""The command line, `sketchwire`.

In: arguments. Out: a subcommand's output and an exit code (see `proxy.cli.exits`). Refuses: nothing itself;
subcommands are found and imported only when they are needed, see `proxy.cli.commands`.
"""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from proxy import __version__
from proxy.cli.commands import CommandGroup

EPILOG = """
[bold]First steps[/bold]

  sketchwire doctor    [dim]what works here, and what to do about the rest[/dim]

  sketchwire encode cat.jpg -o cat.swb    [dim]one image, a few hundred bytes[/dim]

  sketchwire up    [dim]both proxies and the runtime; browsers use 127.0.0.1:8080[/dim]

[bold]Exit codes[/bold]

  0 done · 1 failed · 2 wrong usage or configuration · 3 nothing to gain (encode)
"""

app = typer.Typer(
    name="sketchwire",
    cls=CommandGroup,
    help="Images cross the wire as sketches and are drawn again on the other side.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sketchwire {__version__} (Python {platform.python_version()}, {platform.system()})")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line on this process's arguments; never returns."""
    app(prog_name="sketchwire")
