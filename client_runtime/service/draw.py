"""From tasks to pictures, whatever the engine does: a failing or lying engine costs quality, never an answer.

In: tasks and engines, best first. Out: one `Drawn`, `Refused` or `Failed` per task, in order. Refuses: nothing; a
batch that fails is drawn again one by one, so that one bad bundle does not spoil its neighbours, and what the first
engine cannot draw the next one does.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from client_runtime.engines.base import Engine, EngineFailed, Fallback, Image, Task
from proxy.bundle import BundleError, UnsupportedBundle

__all__ = ["Drawn", "Failed", "Fallback", "Outcome", "Refused", "draw"]

_log = logging.getLogger("sketchwire.runtime")
_EXPECTED = (Fallback.DEADLINE, Fallback.OUT_OF_MEMORY)  # a machine's limits, not a programmer's mistakes


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture of the right size, who drew it (`id@hash8`), and why not the first engine (None: it was)."""

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


def draw(engines: Sequence[Engine], tasks: Sequence[Task]) -> list[Outcome]:
    """One outcome per task. What `engines[0]` fails at, the others are asked for in turn."""
    first = engines[0]
    try:
        images = _checked(first.reconstruct(tasks), tasks)
    except Exception as error:  # whatever an engine raises must end here
        if len(tasks) > 1:
            return [draw(engines, [task])[0] for task in tasks]
        return [_by_another(engines, tasks[0], error)]
    label = first.capabilities().label
    return [Drawn(image, label) for image in images]


def _by_another(engines: Sequence[Engine], task: Task, error: Exception) -> Outcome:
    """What a single task's failure means: the bundle's fault, or a reason for the next engine to draw it."""
    first = _reason(engines[0], error)
    at_fault = not isinstance(error, BundleError)  # some engine, not the bundle
    for engine in engines[1:]:
        if isinstance(error, BundleError) and not isinstance(error, UnsupportedBundle):
            return Refused(error)
        try:
            [image] = _checked(engine.reconstruct([task]), [task])
        except Exception as next_error:
            error = next_error
            _reason(engine, error)
            at_fault = at_fault or not isinstance(error, BundleError)
        else:
            return Drawn(image, engine.capabilities().label, first)
    torn = isinstance(error, BundleError) and not isinstance(error, UnsupportedBundle)
    if isinstance(error, BundleError) and (torn or not at_fault):
        return Refused(error)
    return Failed(first)


def _reason(engine: Engine, error: Exception) -> Fallback:
    """Why `engine` did not draw it, told in the log unless it is the bundle's own doing."""
    if isinstance(error, BundleError):
        return Fallback.UNSUPPORTED
    reason = error.reason if isinstance(error, EngineFailed) else Fallback.ENGINE_FAILED
    if isinstance(error, MemoryError):
        reason = Fallback.OUT_OF_MEMORY
    label = engine.capabilities().label
    if reason in _EXPECTED:
        _log.warning("engine %s: %s: %s", label, reason.value, error)
    else:
        _log.error("engine %s failed: %s: %s", label, type(error).__name__, error, exc_info=error)
    return reason


def _checked(images: Sequence[Image], tasks: Sequence[Task]) -> list[Image]:
    """`images`, if each is uint8 (so never NaN), RGB and of its bundle's size."""
    if len(images) != len(tasks):
        raise EngineFailed(f"{len(images)} pictures for {len(tasks)} tasks", Fallback.WRONG_OUTPUT)
    for image, task in zip(images, tasks, strict=True):
        wanted = (task.bundle.height_px, task.bundle.width_px, 3)
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != wanted:
            got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise EngineFailed(f"uint8 {wanted} was asked for, {got} came", Fallback.WRONG_OUTPUT)
    return list(images)
