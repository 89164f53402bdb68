"""Runs the detectors that this installation has, each within its budget of time.

In: uint8 RGB (h, w, 3). Out: `Findings`: boxes in its pixels, and the milliseconds of each detector. Refuses: nothing;
a detector whose package is missing is left out (logged once a process); one that fails on an image, or has no time
left, is named in the findings.

Detectors are loaded at their first use, or ahead of it by `warm`. They are fast enough to need no thread that watches
them: each works at a bounded size, which bounds its time, and the one that has optional work (reading text) stops when
its budget is spent. An encoder in `proxy.encode.pool` has a deadline for the whole image besides.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from proxy.bundle import SalientKind
from proxy.encode.salient import codes, faces, text
from proxy.encode.salient.boxes import Box

log = logging.getLogger(__name__)

RGB = npt.NDArray[np.uint8]

TEXT_BUDGET_MS = 450.0
LATE_MS = 900.0  # spent by then: the detectors that are left are not started
_WARM_SIDE_PX = 64


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found, in the image's pixels; `missing` names the detectors that are not installed, `unfinished` those
    that failed on this image or had no time left for it.
    """

    boxes: tuple[Box, ...] = ()
    missing: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    stage_ms: Mapping[str, float] = field(default_factory=dict)

    def of(self, kind: SalientKind) -> list[Box]:
        """The boxes of one kind."""
        return [box for box in self.boxes if box.kind is kind]


def available(face_weights: str | None = None) -> dict[str, bool]:
    """Which detectors this installation can load, by name; for people, by `sketchwire doctor`."""
    return {"faces": faces.available(face_weights), "codes": codes.available(), "text": text.available()}


def detect(rgb: RGB, face_weights: str | None = None) -> Findings:
    """Faces, codes and lines of text in `rgb`. Never raises for what an image does to a detector."""
    found: list[Box] = []
    missing: list[str] = []
    unfinished: list[str] = []
    stage_ms: dict[str, float] = {}
    for name, detector in _detectors(face_weights).items():
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
    return Findings(tuple(found), tuple(missing), tuple(unfinished), stage_ms)


def warm(face_weights: str | None = None) -> tuple[str, ...]:
    """Load every detector and run each once, so that the first image need not wait; the names of those present."""
    findings = detect(np.full((_WARM_SIDE_PX, _WARM_SIDE_PX, 3), 127, np.uint8), face_weights)
    return tuple(name for name in _detectors(face_weights) if name not in findings.missing)


@functools.lru_cache(maxsize=4)
def _detectors(face_weights: str | None) -> dict[str, Callable[[RGB], list[Box]] | None]:
    loaded: dict[str, Callable[[RGB], list[Box]] | None] = {}
    for name, load in (("codes", _codes), ("faces", lambda: faces.load(face_weights)), ("text", _text)):
        try:
            loaded[name] = load()
        except Exception as error:
            loaded[name] = None
            log.warning(
                "no detector of %s (%s: %s): images go on without it; install the extra `detect`",
                *(name, type(error).__name__, error),
            )
    return loaded


def _codes() -> Callable[[RGB], list[Box]]:
    if not codes.available():
        raise ImportError("this OpenCV has no detectors of codes")
    return codes.detect


def _text() -> Callable[[RGB], list[Box]]:
    detector = text.load()
    return lambda rgb: detector(rgb, TEXT_BUDGET_MS)
