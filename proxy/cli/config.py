"""`sketchwire config`: the configuration in force, commented examples and the reference table.

In: a role, or a configuration file. Out: TOML or Markdown, all made from the field documentation in `proxy.config`, so
that none of it can drift. Refuses: what `proxy.config.load` refuses (`ConfigError`).
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from proxy.config import Config, load

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", envvar="SKETCHWIRE_CONFIG", help="TOML file; defaults without one."),
]
WIDTH = 100
TABLES = tuple(table.name for table in fields(Config))


class Example(StrEnum):
    """The example files that are shipped."""

    DEMO = "demo"
    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"


@dataclass(frozen=True, slots=True)
class Layout:
    """What an example file shows: an introduction, tables, and the keys that are worth setting (written active)."""

    intro: str
    tables: tuple[str, ...]
    active: frozenset[tuple[str, str]] = frozenset()


LAYOUTS = {
    Example.DEMO: Layout(
        "Everything on one machine: both proxies and the runtime.\n\n    sketchwire up --config configs/demo.toml",
        TABLES,
    ),
    Example.UPSTREAM: Layout(
        "The proxy in the data centre: it fetches from origins and sends bundles.\n\n"
        "    sketchwire upstream --config configs/upstream.toml",
        ("upstream", "captions", "access", "cache", "ledger", "admin"),
        frozenset({("upstream", "listen_host"), ("upstream", "listen_port")}),
    ),
    Example.DOWNSTREAM: Layout(
        "The proxy near the user, and the runtime that draws for it.\n\n"
        "    sketchwire runtime --config configs/downstream.toml\n"
        "    sketchwire downstream --config configs/downstream.toml",
        ("downstream", "runtime", "access", "subscribers", "cache", "ledger", "admin", "report"),
        frozenset({("downstream", "listen_port"), ("downstream", "upstream"), ("downstream", "upstream_ca")}),
    ),
}
OVERVIEW = """\
# Configuration

One TOML file, a table per role; a file needs only the tables of the roles it is for, and only the keys that differ from
the defaults. Unknown tables and keys are errors that name the nearest known one. Commented examples are in
[`configs/`](../configs).

| command | prints |
|---|---|
| `sketchwire config show --config FILE` | every key as it is in force |
| `sketchwire config example demo` | a commented example: `demo`, `upstream` or `downstream` |
| `sketchwire config markdown` | this page, made from the documentation of the fields in `proxy/config.py` |
"""


def toml_value(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple | list):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return repr(value)


def to_toml(config: Config, tables: tuple[str, ...] = TABLES) -> str:
    """The given tables with every key, so that loading the text gives the same values."""
    lines = []
    for name in tables:
        section = getattr(config, name)
        lines += ["", f"[{name}]", *(f"{f.name} = {toml_value(getattr(section, f.name))}" for f in fields(section))]
    return "\n".join(lines[1:]) + "\n"


def example(which: Example) -> str:
    """A commented example file: each key's documentation, then the key with its default."""
    layout, defaults = LAYOUTS[which], Config()
    note = "Every key is shown with its default; remove the # in front of one to change it."
    lines = [f"# {line}".rstrip() for line in ["Sketchwire. " + layout.intro, "", note] for line in line.split("\n")]
    for name in layout.tables:
        section = getattr(defaults, name)
        lines += ["", *_comment(_first_line(section)), f"[{name}]"]
        for field in fields(section):
            mark = "" if (name, field.name) in layout.active else "#"
            lines += _comment(field.metadata["doc"])
            lines.append(f"{mark}{field.name} = {toml_value(getattr(section, field.name))}")
    return "\n".join(lines) + "\n"


def markdown() -> str:
    """The reference page: a table per role, a row per key."""
    lines = [OVERVIEW]
    for table in fields(Config):
        section = getattr(Config(), table.name)
        hints = get_type_hints(type(section))
        lines += [f"## `[{table.name}]`", "", _first_line(section), ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        for field in fields(section):
            default = toml_value(getattr(section, field.name))
            meaning = field.metadata["doc"].replace("|", "\\|")
            lines.append(f"| `{field.name}` | {_type(hints[field.name])} | `{default}` | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def register(app: typer.Typer) -> None:
    """Add `config` and its subcommands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Show the configuration in force, or a commented example to start from.",
        epilog="sketchwire config example upstream > upstream.toml\n\nsketchwire config show -c upstream.toml",
    )
    app.add_typer(group, name="config")

    @group.command("show")
    def _show(config: ConfigFile = None) -> None:
        """Print every key as it is in force, as TOML."""
        typer.echo(to_toml(load(config)), nl=False)

    @group.command("example")
    def _example(which: Annotated[Example, typer.Argument(metavar="demo|upstream|downstream")]) -> None:
        """Print a commented example file."""
        typer.echo(example(which), nl=False)

    @group.command("markdown")
    def _markdown() -> None:
        """Print the reference page (docs/configuration.md)."""
        typer.echo(markdown(), nl=False)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _first_line(section: Any) -> str:
    return (type(section).__doc__ or "").strip().split("\n")[0]


def _type(hint: Any) -> str:
    names = {bool: "true or false", int: "integer", float: "number", str: "text"}
    return names.get(hint, "list of texts")
