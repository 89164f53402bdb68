"""From tasks to pictures, whatever the engine does: a failing or lying engine costs quality, never an answer.

In: tasks, the engine, and the preview engine as a safety net. Out: one `Drawn`, `Refused` or `Failed` per task, in
order. Refuses: nothing; a batch that fails is drawn again one by one, so that one bad bundle does not spoil its
neighbours.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from client_runtime.engines.base import Engine, EngineFailed, Image, Task
from proxy.bundle import BundleError, UnsupportedBundle

_log = logging.getLogger("sketchwire.runtime")


class Fallback(StrEnum):
    """Why the safety net drew a picture and not the engine; the value crosses the API."""

    ENGINE_FAILED = "engine-failed"
    WRONG_OUTPUT = "wrong-output"
    UNSUPPORTED = "unsupported-by-engine"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture of the right size, who drew it (`id@hash8`), and why it was not the engine (None: it was)."""

    image: Image
    engine: str
    fallback: Fallback | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The bundle cannot be drawn; the client must use another."""

    error: BundleError


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing could draw it, though the bundle looks sound; the details are in the log."""

    reason: str


Outcome = Drawn | Refused | Failed


class _WrongOutput(EngineFailed):
    """The engine answered, but not with pictures of the asked size."""


def draw(engine: Engine, safety_net: Engine, tasks: Sequence[Task]) -> list[Outcome]:
    """One outcome per task. `safety_net` draws what `engine` cannot, unless they are the same object."""
    try:
        images = _checked(engine.reconstruct(tasks), tasks)
    except Exception as error:  # whatever an engine raises must end here
        if len(tasks) > 1:
            return [draw(engine, safety_net, [task])[0] for task in tasks]
        return [_explain(engine, safety_net, tasks[0], error)]
    label = engine.capabilities().label
    return [Drawn(image, label) for image in images]


def _explain(engine: Engine, safety_net: Engine, task: Task, error: Exception) -> Outcome:
    """What a single task's failure means: the bundle's fault, or a reason to fall back."""
    reason = Fallback.ENGINE_FAILED
    if isinstance(error, UnsupportedBundle):
        reason = Fallback.UNSUPPORTED
    elif isinstance(error, BundleError):
        return Refused(error)
    elif isinstance(error, _WrongOutput):
        reason = Fallback.WRONG_OUTPUT
    if not isinstance(error, BundleError):
        _log.error("engine %s failed: %s: %s", engine.capabilities().label, type(error).__name__, error, exc_info=error)
    if safety_net is engine:
        return Refused(error) if isinstance(error, BundleError) else Failed(reason)
    [outcome] = draw(safety_net, safety_net, [task])
    return Drawn(outcome.image, outcome.engine, reason) if isinstance(outcome, Drawn) else outcome


def _checked(images: Sequence[Image], tasks: Sequence[Task]) -> list[Image]:
    """`images`, if each is uint8 (so never NaN), RGB and of its bundle's size."""
    if len(images) != len(tasks):
        raise _WrongOutput(f"{len(images)} pictures for {len(tasks)} tasks")
    for image, task in zip(images, tasks, strict=True):
        wanted = (task.bundle.height_px, task.bundle.width_px, 3)
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != wanted:
            got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise _WrongOutput(f"uint8 {wanted} was asked for, {got} came")
    return list(images)
