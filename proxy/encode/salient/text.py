"""Lines of text, by PP-OCR's detector and reader (package `rapidocr`, weights in the wheel).

In: uint8 RGB (h, w, 3) and a time budget. Out: a `Box` per line of text, in its pixels. Refuses: nothing; without the
package there is no detector, and `available` says so.

The detector alone fires on whole plates of food, fur and petals; reading what it found tells text from texture
(on web photographs, texture reads as one doubtful character or with a confidence under 0.5). One reading costs 30 ms,
so at most MAX_READINGS are made; a long line that the detector is sure of needs none (the reader fails on foreign
scripts and curves), and what is left over goes by the share of the others that were text.
Source: Liao et al., "Real-time scene text detection with differentiable binarization" (2020).
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable
from math import hypot, sqrt
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from proxy.bundle import SalientKind
from proxy.encode.salient.boxes import Box

RGB = npt.NDArray[np.uint8]
Quad = npt.NDArray[np.float32]  # (4, 2): the corners, clockwise from the upper left
TextDetector = Callable[[RGB, float], list[Box]]

MAX_PIXELS = 736 * 552  # the detector's time grows with the area
SIDE_PX = 1280
MAX_READINGS = 8
BELIEVED_READING = 0.7
BELIEVED_LONG_READING, LONG_READING = 0.5, 5  # of at least so many characters
BELIEVED_CHARACTER = 0.95  # of one alone, which texture often reads as
BLOB_AREA, BLOB_ASPECT = 0.3, 2.0  # a large and stout box is texture: a headline is long
MAX_AREA = 0.6
SURE_LINE, SURE_ASPECT = 0.8, 4.0
_OPTIONS = {
    "Global.log_level": "error",
    "Global.use_cls": False,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    "Det.limit_type": "max",
    "Det.limit_side_len": SIDE_PX,
}


def available() -> bool:
    """Whether the text detector can be loaded."""
    return all(importlib.util.find_spec(name) is not None for name in ("rapidocr", "onnxruntime"))


def load() -> TextDetector:
    """The detector and the reader, in this process, on one thread. Raises ImportError."""
    engine: Any = importlib.import_module("rapidocr").RapidOCR(params=_OPTIONS)

    def read(bgr: RGB, quad: Quad) -> bool:
        answer = engine(_straight(bgr, quad), use_det=False, use_cls=False, use_rec=True)
        return bool(answer.txts) and is_text(str(answer.txts[0]), float(answer.scores[0]))

    def detect(rgb: RGB, budget_ms: float) -> list[Box]:
        until = time.process_time() + budget_ms / 1000
        bgr = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)
        small, scale = _within(bgr)
        answer = engine(small, use_det=True, use_cls=False, use_rec=False)
        if answer.boxes is None:
            return []
        quads = [np.asarray(quad, np.float32) * scale for quad in answer.boxes]
        found = [
            (quad, float(sure))
            for quad, sure in zip(quads, answer.scores, strict=True)
            if is_line(quad, bgr.shape[1], bgr.shape[0])
        ]
        lines = [line for line in found if needs_no_reading(*line)]
        doubtful = [line for line in found if not needs_no_reading(*line)]
        every = max(1, -(-len(doubtful) // MAX_READINGS))  # of a page of text, an even sample
        sample = doubtful[::every]
        good: list[bool] = []
        for quad, _ in sample:
            if time.process_time() > until:
                break
            good.append(read(bgr, quad))
        rest = [line for i, line in enumerate(doubtful) if i % every or i // every >= len(good)]
        lines += [line for line, is_good in zip(sample, good, strict=False) if is_good]
        lines += rest if 2 * sum(good) >= len(good) else []
        return [_box(quad, sure) for quad, sure in lines]

    return detect


def is_text(text: str, confidence: float) -> bool:
    """Whether a reading is of real text: the fewer characters, the more confident it must be."""
    length = len("".join(text.split()))
    if length == 1:
        return confidence >= BELIEVED_CHARACTER
    if length >= LONG_READING:
        return confidence >= BELIEVED_LONG_READING
    return length >= 2 and confidence >= BELIEVED_READING


def is_line(quad: Quad, width_px: int, height_px: int) -> bool:
    """Whether a found region has the shape of a line of text in an image of `width_px` × `height_px`."""
    share = _area(quad) / (width_px * height_px)
    long, short = _sides(quad)
    return 0 < share <= MAX_AREA and short >= 4 and (share <= BLOB_AREA or long >= BLOB_ASPECT * short)


def needs_no_reading(quad: Quad, sure: float) -> bool:
    """Whether the detector's word is enough: a long line that it is sure of (texture is found as stout boxes)."""
    long, short = _sides(quad)
    return sure >= SURE_LINE and long >= SURE_ASPECT * short


def _within(bgr: RGB) -> tuple[RGB, float]:
    """(`bgr` with at most MAX_PIXELS, how many of its pixels one of these is wide)."""
    scale = max(1.0, sqrt(bgr.shape[0] * bgr.shape[1] / MAX_PIXELS))
    if scale == 1.0:
        return bgr, 1.0
    size = max(1, round(bgr.shape[1] / scale)), max(1, round(bgr.shape[0] / scale))
    return np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _sides(quad: Quad) -> tuple[float, float]:
    width = hypot(*(quad[1] - quad[0]).tolist())
    height = hypot(*(quad[3] - quad[0]).tolist())
    return max(width, height), min(width, height)


def _area(quad: Quad) -> float:
    return abs(float(cv2.contourArea(quad)))


def _box(quad: Quad, score: float) -> Box:
    left, top = (float(v) for v in quad.min(axis=0))
    right, bottom = (float(v) for v in quad.max(axis=0))
    return Box(left, top, right, bottom, SalientKind.TEXT, score)


def _straight(bgr: RGB, quad: Quad) -> RGB:
    """The region of `quad`, turned upright; what is much taller than wide is turned to lie."""
    width = max(1, round(hypot(*(quad[1] - quad[0]).tolist())))
    height = max(1, round(hypot(*(quad[3] - quad[0]).tolist())))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad, corners)
    region = cv2.warpPerspective(bgr, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    if height >= 1.5 * width:
        region = cv2.rotate(region, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return np.asarray(region, np.uint8)
