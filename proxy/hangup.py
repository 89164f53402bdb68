"""Tells a SIGHUP that asks for the configuration to be read again from one that says the terminal was closed.

In: nothing but the process's own terminal. Out: whether it is gone. Refuses: nothing; who never had one never loses it.
"""

from __future__ import annotations

import contextlib
import os


class Terminal:
    """The terminal that this process had when it started, if any."""

    def __init__(self) -> None:
        self._had_one = _there()

    def lost(self) -> bool:
        """Whether there was a terminal, and there is none any more."""
        return self._had_one and not _there()


def _there() -> bool:
    with contextlib.suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
        return True
    return False
