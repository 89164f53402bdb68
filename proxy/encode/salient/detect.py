"""Runs the detectors that this installation has, each within its budget of time.

In: uint8 RGB (h, w, 3). Out: `Findings`: boxes in its pixels, and the milliseconds of each detector. Refuses: nothing;
a detector whose package is missing is left out (logged once a process); one that fails on an image, or has no time
left, is named in the findings.

Detectors are loaded at their first use, or ahead of it by `warm`. They need no thread that watches them: each works at
a bounded size, which bounds its time. Each has a budget: the one that has optional work (reading text) stops when it is
spent; native code cannot be stopped, so one that takes longer is named in the findings and the log, and LATE_MS decides
whether the next is started. An encoder in `proxy.encode.pool` has a deadline for the whole image besides, at which its
process is replaced.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from proxy.bundle import SalientKind
from proxy.config import DETECTORS
from proxy.encode.salient import codes, faces, text
from proxy.encode.salient.boxes import Box

log = logging.getLogger(__name__)

RGB = npt.NDArray[np.uint8]

BUDGETS_MS = {"codes": 150.0, "faces": 250.0, "text": 450.0}
LATE_MS = 900.0  # spent by then: the detectors that are left are not started
_GRACE = 1.2  # one reading may be under way when the budget ends
_WARM_SIDE_PX = 64


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found, in the image's pixels; `missing` names the detectors that are not installed, `unfinished` those
    that failed on this image or had no time left for it, `late` those that finished over their budgets.
    """

    boxes: tuple[Box, ...] = ()
    missing: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    late: tuple[str, ...] = ()

    def of(self, kind: SalientKind) -> list[Box]:
        """The boxes of one kind."""
        return [box for box in self.boxes if box.kind is kind]


def available(face_weights: str | None = None) -> dict[str, bool]:
    """Which detectors this installation can load, by name; for people, by `sketchwire doctor`."""
    return {"faces": faces.available(face_weights), "codes": codes.available(), "text": text.available()}


def detect(rgb: RGB, face_weights: str | None = None, wanted: Sequence[str] = DETECTORS) -> Findings:
    """Those of faces, codes and lines of text in `rgb` that are `wanted`. Never raises for what an image does to a
    detector.
    """
    found: list[Box] = []
    missing: list[str] = []
    unfinished: list[str] = []
    stage_ms: dict[str, float] = {}
    for name, detector in _detectors(face_weights, _loadable(wanted)).items():
        if detector is None:
            missing.append(name)
            continue
        if sum(stage_ms.values()) > LATE_MS:
            unfinished.append(name)
            continue
        start = time.process_time()
        try:
            found += detector(rgb)
        except Exception as error:  # native code on hostile images: without this detector rather than without an image
            log.warning("the detector of %s failed: %s", name, type(error).__name__)
            unfinished.append(name)
        stage_ms[name] = round((time.process_time() - start) * 1000, 3)
    late = tuple(name for name, spent in stage_ms.items() if spent > BUDGETS_MS[name] * _GRACE)
    for name in late:
        log.info("the detector of %s took %.0f ms of its %.0f", name, stage_ms[name], BUDGETS_MS[name])
    return Findings(tuple(found), tuple(missing), tuple(unfinished), stage_ms, late)


def warm(face_weights: str | None = None, wanted: Sequence[str] = DETECTORS) -> tuple[str, ...]:
    """Load every detector that is `wanted` and run each once, so that the first image need not wait; the names of those
    present.
    """
    findings = detect(np.full((_WARM_SIDE_PX, _WARM_SIDE_PX, 3), 127, np.uint8), face_weights, wanted)
    return tuple(name for name in _detectors(face_weights, _loadable(wanted)) if name not in findings.missing)


def _loadable(wanted: Sequence[str]) -> tuple[str, ...]:
    """Those that look at pixels, in the order of their cost."""
    return tuple(name for name in BUDGETS_MS if name in wanted)


def _detectors(face_weights: str | None, names: tuple[str, ...]) -> dict[str, Callable[[RGB], list[Box]] | None]:
    return {name: _loaded(name, face_weights if name == "faces" else None) for name in names}


@functools.lru_cache(maxsize=8)
def _loaded(name: str, face_weights: str | None) -> Callable[[RGB], list[Box]] | None:
    load = {"codes": _codes, "faces": lambda: faces.load(face_weights), "text": _text}[name]
    try:
        return load()
    except Exception as error:
        log.warning(
            "no detector of %s (%s: %s): images go on without it; install the extra `detect`",
            *(name, type(error).__name__, error),
        )
        return None


def _codes() -> Callable[[RGB], list[Box]]:
    if not codes.available():
        raise ImportError("this OpenCV has no detectors of codes")
    return codes.detect


def _text() -> Callable[[RGB], list[Box]]:
    detector = text.load()
    return lambda rgb: detector(rgb, BUDGETS_MS["text"])
