"""Finds the subcommands and imports them only when they are needed.

In: the entry-point group `sketchwire.commands`, each entry a function `register(app: typer.Typer) -> None`; in a
checkout that was never installed, the modules named here. Out: a command group. Refuses: nothing; a part that is not
installed is left out, and one that cannot be imported becomes a command that says why and what to do.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import typer
import typer.core
import typer.main

from proxy.cli.exits import fail, fail_with

GROUP = "sketchwire.commands"
IMAGES, RUNNING, LOOKING = "Images", "Proxies", "Looking after it"

# Where each command is expected, in the order of the help text: the whole list in a checkout, a short cut (import this
# one first) when installed. A command that is not listed is still found, through its entry point.
KNOWN: dict[str, tuple[str, str]] = {
    "encode": ("proxy.cli.encode", IMAGES),
    "decode": ("client_runtime.commands", IMAGES),
    "inspect": ("proxy.cli.inspect", IMAGES),
    "demo": ("proxy.demo.commands", RUNNING),
    "up": ("proxy.cli.up", RUNNING),
    "upstream": ("addons.commands", RUNNING),
    "downstream": ("addons.commands", RUNNING),
    "runtime": ("client_runtime.commands", RUNNING),
    "pair": ("proxy.cli.pair", RUNNING),
    "doctor": ("proxy.cli.doctor", LOOKING),
    "report": ("proxy.cli.report", LOOKING),
    "ledger": ("proxy.cli.ledger", LOOKING),
    "forget": ("proxy.cli.ledger", LOOKING),
    "config": ("proxy.cli.config", LOOKING),
    "access": ("proxy.cli.access", LOOKING),
    "evaluate": ("evaluation.commands", LOOKING),
    "train": ("client_runtime.training.commands", LOOKING),
    "models": ("client_runtime.models.commands", LOOKING),
    "bench": ("client_runtime.bench.commands", LOOKING),
    "serve": ("client_runtime.serve_ray", RUNNING),
    "plan": ("proxy.cli.plan", LOOKING),
    "subscribers": ("proxy.subscribers.commands", LOOKING),
}


@dataclass(frozen=True, slots=True)
class Source:
    """A module that registers commands; `name` is its entry point's."""

    name: str
    module: str
    function: str = "register"

    def expected(self) -> list[str]:
        """The commands it is known to have; its own name when nothing is known about it."""
        return [command for command, (module, _) in KNOWN.items() if module == self.module] or [self.name]

    def load(self) -> dict[str, Any]:
        """Import the module and return its commands by name; those of a module that cannot be imported say why.

        A module that is not installed has none.
        """
        try:
            if not _installed(self.module):
                return {}
            register: Callable[[typer.Typer], None] = getattr(importlib.import_module(self.module), self.function)
            return commands_of(register)
        except Exception as error:  # whatever is wrong with one part, the others must keep working
            reason = f"{type(error).__name__}: {error}"
            return {name: command for each in self.expected() for name, command in _unavailable(each, reason).items()}


def sources() -> list[Source]:
    """Every module that may have commands: the entry points', then known ones that have none. Imports nothing."""
    found = {
        point.module: Source(point.name, point.module, point.attr or "register")
        for point in importlib.metadata.entry_points(group=GROUP)
    }
    for command, (module, _) in KNOWN.items():
        found.setdefault(module, Source(command, module))
    return list(found.values())


def commands_of(register: Callable[[typer.Typer], None]) -> dict[str, Any]:
    """The commands that a `register` function adds, by name."""
    part = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=False)
    part.callback()(_nothing)  # else an app with a single command is that command, not a group
    register(part)
    return dict(typer.main.get_group(part).commands)


class CommandGroup(typer.core.TyperGroup):
    """The group of all subcommands; `sketchwire encode` imports what `encode` needs and nothing else."""

    _waiting: list[Source] | None = None

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, known ones first and in their order. Imports every part."""
        self._load(self._sources())
        places = {name: place for place, name in enumerate(KNOWN)}
        return sorted(self.commands, key=lambda name: (places.get(name, len(places)), name))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command called `cmd_name`, or None. Imports the part it is expected in, else all others."""
        if cmd_name not in self.commands:
            self._load([source for source in self._sources() if cmd_name in source.expected()])
        if cmd_name not in self.commands:
            self._load(self._sources())
        return self.commands.get(cmd_name)

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand; errors the user can do something about become one line and an exit code."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            fail_with(error)

    def _sources(self) -> list[Source]:
        if self._waiting is None:
            self._waiting = sources()
        return self._waiting

    def _load(self, wanted: Iterable[Source]) -> None:
        waiting = self._sources()
        for source in list(wanted):
            waiting.remove(source)
            for name, command in source.load().items():
                panel = KNOWN.get(name, ("", LOOKING))[1]
                command.rich_help_panel = cast(Any, command).rich_help_panel or panel
                self.commands.setdefault(name, command)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:
        if error.name is not None and module.startswith(error.name):
            return False  # a package above it is not there
        raise  # it is there, but something that it needs is not


def _unavailable(name: str, reason: str) -> dict[str, Any]:
    def explain() -> None:
        fail(f"{name} is not available here ({reason}); install what is missing, `sketchwire doctor` helps")

    def register(part: typer.Typer) -> None:
        part.command(
            name,
            help=f"Not available: {reason}".replace("[", "\\["),
            add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(explain)

    return commands_of(register)


def _nothing() -> None:
    """The callback of a part: there is nothing to do before a command."""
