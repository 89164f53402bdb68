"""How commands end: exit codes, and errors in one line.

In: what went wrong. Out: one line on standard error and an exit code. Refuses: to hide defects; only errors that are
the user's to solve become a line, anything else keeps its traceback.
"""

from __future__ import annotations

import os
from typing import NoReturn

import typer

from proxy.config import ConfigError

DONE, FAILED, USAGE, NOTHING_TO_GAIN = 0, 1, 2, 3
OURS = ("proxy", "addons", "client_runtime", "evaluation")


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Say what is wrong in one line and end the command with `code`."""
    typer.secho(f"sketchwire: {' '.join(message.split())}", err=True, fg=typer.colors.RED)
    raise typer.Exit(code)


def fail_with(error: Exception) -> NoReturn:
    """End the command with what `error` says, if it is one the user can do something about; else raise it again.

    Those are the exceptions that our own packages define, and the operating system's about files and connections.
    """
    if isinstance(error, ConfigError):
        fail(str(error), USAGE)
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        fail(f"{os.fspath(error.filename)}: {error.strerror}" if error.filename and error.strerror else str(error))
    if type(error).__module__.partition(".")[0] in OURS:
        fail(str(error) or type(error).__name__)
    raise error
