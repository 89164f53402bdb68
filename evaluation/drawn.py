"""The engines that an experiment draws with.

In: ids of engines, bundles. Out: pictures and the seconds they took. Refuses nothing: an engine that cannot work here
is a `Missing` with its reason, a bundle that it cannot draw is None, and both are said in the report.
"""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from client_runtime.engines import Engine, EngineUnavailable, Task, create
from proxy.bundle import Bundle, UnsupportedBundle
from proxy.config import RuntimeConfig

RGB = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Missing:
    """An engine that cannot be measured here, and why."""

    engine: str
    reason: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture of the bundle's size and the wall time of drawing it, in ms."""

    picture: RGB
    draw_ms: float


@functools.lru_cache(maxsize=4)
def engine(name: str) -> Engine | Missing:
    """The engine of that id, loaded once in this process."""
    try:
        return create(RuntimeConfig(engine=name, threads=int(os.environ.get("OMP_NUM_THREADS", "0"))))
    except EngineUnavailable as error:
        return Missing(name, str(error))


def label(name: str) -> str:
    """`id@hash` of an engine that works here, else `id: reason`."""
    found = engine(name)
    return f"{name}: {found.reason}" if isinstance(found, Missing) else found.capabilities().label


def draw(name: str, bundle: Bundle) -> Drawn | None:
    """The picture, or None when the engine is missing or draws no bundles of this mode."""
    found = engine(name)
    if isinstance(found, Missing):
        return None
    words = bundle.prompt.text if bundle.prompt else None
    start = time.perf_counter()
    try:
        picture = found.reconstruct([Task(bundle, words)])[0]
    except UnsupportedBundle:
        return None
    return Drawn(picture, (time.perf_counter() - start) * 1000)
