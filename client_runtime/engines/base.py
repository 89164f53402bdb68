"""What an engine is: bundles and prompts in, pictures out.

In: `Task`s, each an unpacked bundle and its resolved prompt. Out: one uint8 RGB picture of the original's size per
task. Refuses: with `EngineUnavailable` while it is made, with `BundleError` or `EngineFailed` while it draws.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from proxy.bundle import Bundle
from proxy.config import RuntimeConfig

Image = npt.NDArray[np.uint8]  # (height, width, 3), sRGB

_ENGINE_ID = re.compile(r"[a-z][a-z0-9-]{0,31}")
_FINGERPRINT = re.compile(r"[0-9a-f]{8,64}")


class Fallback(StrEnum):
    """Why a lesser engine drew a picture, and not the one that was asked for; the value crosses the API."""

    ENGINE_FAILED = "engine-failed"
    WRONG_OUTPUT = "wrong-output"
    UNSUPPORTED = "unsupported-by-engine"
    UNAVAILABLE = "engine-unavailable"
    MISSING_WEIGHTS = "missing-weights"
    BROKEN_WEIGHTS = "broken-weights"
    OUT_OF_MEMORY = "out-of-memory"
    BROKEN_IMAGE = "broken-image"  # not a number, or black
    DEADLINE = "deadline"


class EngineUnavailable(RuntimeError):
    """The engine cannot work on this machine; the message says why and what to install or write instead."""

    def __init__(self, message: str, reason: Fallback = Fallback.UNAVAILABLE) -> None:
        super().__init__(message)
        self.reason = reason


class EngineFailed(RuntimeError):
    """The engine could not draw these tasks, though their bundles are sound; a lesser engine draws them."""

    def __init__(self, message: str, reason: Fallback = Fallback.ENGINE_FAILED) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine is and can do.

    `fingerprint` is 8 to 64 lower-case hexadecimal digits of a digest over everything that changes its pictures
    (weights, version of the code); its first eight cross the link. `modes` are the bundle modes it can draw. `together`
    is how many tasks are worth drawing at once, None for as many as there are: an engine that draws one after the other
    makes the first picture wait for the last.
    """

    engine: str
    fingerprint: str
    modes: tuple[str, ...]
    together: int | None = None

    def __post_init__(self) -> None:
        if not _ENGINE_ID.fullmatch(self.engine):
            raise ValueError(f"an engine's id is lower-case letters, digits and hyphens, not {self.engine!r}")
        if not _FINGERPRINT.fullmatch(self.fingerprint):
            raise ValueError(f"a fingerprint has 8 to 64 lower-case hexadecimal digits, not {self.fingerprint!r}")
        if self.together is not None and self.together < 1:
            raise ValueError(f"an engine draws at least one task at once, not {self.together}")

    @property
    def label(self) -> str:
        """`id@hash8`, the name that crosses the link."""
        return f"{self.engine}@{self.fingerprint[:8]}"


@dataclass(frozen=True, slots=True)
class Task:
    """One picture to draw. `prompt` is the resolved text: the page's words, or those in the bundle, or None.

    `until_s` is when drawing must be over, on the clock of `time.monotonic`, so that a lesser engine still has time;
    None means whenever.
    """

    bundle: Bundle
    prompt: str | None = None
    until_s: float | None = None


class Engine(Protocol):
    """Draws pictures. Only one thread uses an engine, from its factory to `close`."""

    def capabilities(self) -> Capabilities:
        """What this engine is; the same value for its whole life."""
        ...

    def reconstruct(self, tasks: Sequence[Task]) -> list[Image]:
        """One uint8 array (height, width, 3) per task, in order, of its bundle's size.

        Raises BundleError where a bundle cannot be drawn by anyone, UnsupportedBundle where this engine cannot, and
        EngineFailed (or anything else) where the engine is at fault.
        """
        ...

    def close(self) -> None:
        """Give back memory and devices; called once, after the last `reconstruct`."""
        ...


Factory = Callable[[RuntimeConfig], Engine]
