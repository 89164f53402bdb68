"""Whether text can still be read: the edit distance of what PP-OCR reads in the original's lines, before and after.

In: two uint8 RGB pictures of shape (h, w, 3). Out: edits per character, 0 when everything reads the same, or None for
an original without text. Refuses: arrays of different shapes (`ValueError`). Without `rapidocr`, or without its models
in the package, there is no reader, and that is logged once.

The lines are found in the original, and the same quadrilaterals are read in both: order and segmentation play no part.
Distance: Levenshtein 1966.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]
Quad = npt.NDArray[np.float32]

MIN_CHARACTERS = 5
MAX_LINES = 12  # the largest; each is read twice
BELIEVED = 0.7
MODELS = ("PP-OCRv*_det_*.onnx", "PP-OCRv*_rec_*.onnx")
_OPTIONS = {
    "Global.log_level": "error",
    "Global.use_cls": False,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    "Det.limit_type": "max",
    "Det.limit_side_len": 960,
}
_log = logging.getLogger("sketchwire.evaluation")


def why_not() -> str:
    """What is missing for reading; empty when nothing is. Nothing is downloaded."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed"
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or spec.origin is None:
        return "rapidocr is not installed"
    models = Path(spec.origin).parent / "models"
    missing = [pattern for pattern in MODELS if not list(models.glob(pattern))]
    return f"rapidocr has no {missing[0]} in {models}" if missing else ""


@functools.cache
def reader() -> Reader | None:
    """The reader of this process, or None with one line of warning."""
    reason = why_not()
    if reason:
        _log.warning("skipping ocr: %s", reason)
        return None
    return Reader()


class Reader:
    """Reads lines of text with rapidocr's packaged models, on one thread."""

    def __init__(self) -> None:
        self._engine: Any = importlib.import_module("rapidocr").RapidOCR(params=_OPTIONS)

    def lines(self, rgb: RGB) -> list[tuple[Quad, str]]:
        """(corners, text) of the lines that are read with confidence, the largest MAX_LINES of them."""
        answer = self._engine(_bgr(rgb), use_det=True, use_cls=False, use_rec=True)  # it remembers the last call's
        if answer.boxes is None:
            return []
        found = zip(answer.boxes, answer.txts, answer.scores, strict=True)
        lines = [
            (np.asarray(box, np.float32), str(text))
            for box, text, sure in found
            if sure >= BELIEVED and len(normal(text)) > 1
        ]
        return sorted(lines, key=lambda line: -float(cv2.contourArea(line[0])))[:MAX_LINES]

    def error_rate(self, true: RGB, drawn: RGB, lines: list[tuple[Quad, str]] | None = None) -> float | None:
        """Edits per character over all lines of `true` (`lines` spares finding them again)."""
        if true.shape != drawn.shape:
            raise ValueError(f"pictures of different shapes: {true.shape} and {drawn.shape}")
        known = self.lines(true) if lines is None else lines
        if sum(len(normal(text)) for _, text in known) < MIN_CHARACTERS:
            return None
        before, after = [[self._read(picture, box) for box, _ in known] for picture in (true, drawn)]
        characters = sum(map(len, before))
        return sum(map(edits, before, after)) / characters if characters >= MIN_CHARACTERS else None

    def _read(self, rgb: RGB, box: Quad) -> str:
        answer = self._engine(_straight(_bgr(rgb), box), use_det=False, use_cls=False, use_rec=True)
        return normal("".join(str(text) for text in answer.txts or ()))


def normal(text: str) -> str:
    """Without case and spaces: what a reader of the page would not miss."""
    return "".join(text.casefold().split())


def edits(first: str, second: str) -> int:
    """The fewest insertions, deletions and replacements of characters that turn one into the other."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def _bgr(rgb: RGB) -> RGB:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)


def _straight(bgr: RGB, box: Quad) -> RGB:
    """The line as an upright picture."""
    width = max(8, round(float(np.linalg.norm(box[1] - box[0]))))
    height = max(8, round(float(np.linalg.norm(box[3] - box[0]))))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    turn = cv2.getPerspectiveTransform(box, corners)
    return np.asarray(cv2.warpPerspective(bgr, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)
