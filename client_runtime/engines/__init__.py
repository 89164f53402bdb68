"""The engines this package knows, by id; adding one means adding a line to `ENGINES`.

In: a `RuntimeConfig`. Out: the engine it names, or the best that works here for `auto`; torch is imported only by
engines that need it, when they are chosen. Refuses: unknown ids and engines that cannot work here
(`EngineUnavailable`).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from client_runtime.engines.base import (
    Capabilities,
    Engine,
    EngineFailed,
    EngineUnavailable,
    Factory,
    Fallback,
    Image,
    Task,
)
from proxy.config import RuntimeConfig

__all__ = [
    "AUTO_ORDER",
    "ENGINES",
    "LADDER",
    "Availability",
    "Capabilities",
    "Engine",
    "EngineFailed",
    "EngineUnavailable",
    "Fallback",
    "Image",
    "Missing",
    "Registered",
    "Task",
    "available",
    "best_available",
    "create",
    "instead_of",
    "ladder",
]

LADDER = ("diffusion", "sketch", "preview")  # who draws when one fails: the next to the right
AUTO_ORDER = LADDER[1:]  # `diffusion` needs weights and a device that only its user can choose
_STEPS_DOWN = {  # what may lack or break without the configuration being wrong
    Fallback.MISSING_WEIGHTS,
    Fallback.BROKEN_WEIGHTS,
    Fallback.OUT_OF_MEMORY,
    Fallback.BROKEN_IMAGE,
    Fallback.ENGINE_FAILED,
}

_log = logging.getLogger("sketchwire.runtime")


@dataclass(frozen=True, slots=True)
class Registered:
    """One engine: how to make it, and a cheap check that answers why it cannot work here (None: it can)."""

    factory: Factory
    why_not: Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an engine works here; `reason` is None when it does, else what is missing and what to do."""

    engine: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Missing:
    """The engine that was asked for and cannot be had, why, and a message that says what to do."""

    engine: str
    reason: Fallback
    message: str


def _in(package: str) -> Factory:
    """The `factory` of `package`, imported when it is called."""

    def make(config: RuntimeConfig) -> Engine:
        try:
            module = importlib.import_module(package)
            return cast(Engine, module.factory(config))
        except ImportError as error:
            raise EngineUnavailable(
                f"{package.rpartition('.')[2]}: cannot import {error.name or package}: {error}"
            ) from error

    return make


def _missing(*modules: str, extra: str = "runtime") -> str | None:
    for name in modules:
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed; pip install 'sketchwire[{extra}]'"
    return None


def _sketch_why_not() -> str | None:
    missing = _missing("torch")
    if missing:
        return missing
    try:
        weights = importlib.import_module("client_runtime.engines.sketch").weights_path()
    except Exception as error:  # a damaged installation raises anything, and previews work all the same
        return f"cannot be imported: {type(error).__name__}: {error}"
    return None if weights is not None else "its weights are not in the package; reinstall it, or train them"


def _diffusion_why_not() -> str | None:
    if importlib.util.find_spec("client_runtime.engines.diffusion") is None:
        return "not part of this installation"
    return _missing("torch", "diffusers", "transformers", "peft", extra="diffusion")


ENGINES: dict[str, Registered] = {
    "preview": Registered(_in("client_runtime.engines.preview"), lambda: None),
    "sketch": Registered(_in("client_runtime.engines.sketch"), _sketch_why_not),
    "diffusion": Registered(_in("client_runtime.engines.diffusion"), _diffusion_why_not),
}


def available() -> list[Availability]:
    """Every known engine, with the reason why it cannot work here, if there is one. Imports no torch."""
    return [Availability(name, known.why_not()) for name, known in ENGINES.items()]


def best_available() -> str:
    """The id that `auto` tries first on this machine. Imports no torch."""
    return next(name for name in AUTO_ORDER if ENGINES[name].why_not() is None)


def create(config: RuntimeConfig) -> Engine:
    """The engine that `config.engine` names.

    `auto` takes the first of `AUTO_ORDER` that can be made, and logs why better ones could not. Raises
    EngineUnavailable for an unknown id (naming the known ones) or an engine that cannot work here (saying what to
    do).
    """
    if config.engine == "auto":
        return _create_best(config)
    if config.engine not in ENGINES:
        near = difflib.get_close_matches(config.engine, ENGINES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise EngineUnavailable(f"unknown engine {config.engine!r}; known: auto, {', '.join(sorted(ENGINES))}{hint}")
    reason = ENGINES[config.engine].why_not()
    if reason:
        raise EngineUnavailable(f"{config.engine}: {reason}")
    try:
        return ENGINES[config.engine].factory(config)
    except EngineUnavailable:
        raise
    except Exception as error:  # a broken driver or a damaged file of weights raises anything
        raise EngineUnavailable(
            f"{config.engine}: cannot be started: {type(error).__name__}: {error}", Fallback.ENGINE_FAILED
        ) from error


def instead_of(config: RuntimeConfig, error: EngineUnavailable) -> tuple[Engine, Missing]:
    """The next engine below `config.engine`, which could not be made, and what to tell of that.

    Only the diffusion engine is replaced, since its weights come and go without the configuration being wrong; for
    others, and for a configuration that is wrong, `error` is raised again.
    """
    if config.engine != "diffusion" or error.reason not in _STEPS_DOWN:
        raise error
    lesser = _create_best(config)
    label = lesser.capabilities().label
    _log.warning("%s; pictures are drawn by %s", error, label)
    return lesser, Missing(config.engine, error.reason, str(error))


def ladder(top: Engine, config: RuntimeConfig) -> list[Engine]:
    """`top`, and the engines that draw when it fails, best first; those that cannot work here are left out."""
    name = top.capabilities().engine
    below = LADDER[LADDER.index(name) + 1 :] if name in LADDER else LADDER[-1:]
    rungs = [top]
    for lesser in below:
        try:
            rungs.append(create(replace(config, engine=lesser)))
        except EngineUnavailable as error:
            _log.warning("engine %s cannot stand in: %s", lesser, error)
    return rungs


def _create_best(config: RuntimeConfig) -> Engine:
    reasons: list[tuple[str, str]] = []
    for name in AUTO_ORDER:
        reason = ENGINES[name].why_not()
        if reason is None:
            try:
                engine = ENGINES[name].factory(config)
            except Exception as error:  # a broken driver raises anything; a lesser engine is better than none
                reason = f"{type(error).__name__}: {error}"
            else:
                for skipped in reasons:
                    _log.warning("engine %s is not used: %s", *skipped)
                return engine
        reasons.append((name, reason))
    raise EngineUnavailable("no engine works here: " + "; ".join(f"{name}: {reason}" for name, reason in reasons))
