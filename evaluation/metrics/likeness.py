"""Whether a face is still the same person's: cosine of a face network's embeddings, for every face of the original.

In: weights as ONNX, two uint8 RGB pictures of shape (h, w, 3), the faces' boxes in the original. Out: the mean cosine,
1 for equal faces, or None without faces. Refuses: files that are no such network (`ValueError`), arrays of different
shapes (`ValueError`). Without weights there is no such metric, and that is logged once.

Any network that takes (1, 3, 112, 112), BGR, 0…255, and returns one vector will do; the project ships none. OpenCV's
SFace (`face_recognition_sface_2021dec.onnx`) is one. The same squares are cut out of both pictures and not aligned by
eyes and nose, so that nothing depends on whether a drawn face is found; values are lower than for aligned faces.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from evaluation.metrics.measure import VARIABLE

RGB = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]  # x, y, width, height in px
FILE = "face_embedding.onnx"
INPUT_PX = 112
MARGIN = 0.15
_log = logging.getLogger("sketchwire.evaluation")


@functools.cache
def faces(folder: Path | None = None) -> Faces | None:
    """The metric with the weights FILE in `folder` (or the environment variable's), or None with a warning."""
    named = os.environ.get(VARIABLE)
    weights = folder or (Path(named) if named else None)
    path = weights / FILE if weights else None
    if path is None or not path.is_file():
        _log.warning("skipping face: no %s among the metrics' weights", FILE)
        return None
    return Faces(path)


class Faces:
    """Compares faces by one network."""

    def __init__(self, path: Path) -> None:
        try:
            self._network = cv2.dnn.readNetFromONNX(str(path))
            self._embed(np.zeros((INPUT_PX, INPUT_PX, 3), np.uint8))
        except cv2.error as error:
            raise ValueError(f"{path} is no face network with an input of 1×3×112×112: {error}") from error

    def similarity(self, true: RGB, drawn: RGB, boxes: Sequence[Box]) -> float | None:
        """Mean cosine over the boxes; None without boxes."""
        if true.shape != drawn.shape:
            raise ValueError(f"pictures of different shapes: {true.shape} and {drawn.shape}")
        found = [_cosine(self._embed(square(true, box)), self._embed(square(drawn, box))) for box in boxes]
        return sum(found) / len(found) if found else None

    def _embed(self, rgb: RGB) -> npt.NDArray[np.float64]:
        self._network.setInput(cv2.dnn.blobFromImage(rgb, 1.0, (INPUT_PX, INPUT_PX), swapRB=True))
        return np.asarray(self._network.forward(), np.float64).ravel()


def square(rgb: RGB, box: Box) -> RGB:
    """The square around a face with MARGIN on every side, borders repeated."""
    x, y, width, height = box
    side = max(width, height) * (1 + 2 * MARGIN)
    left, top = x + width / 2 - side / 2, y + height / 2 - side / 2
    matrix = np.array([[INPUT_PX / side, 0, -left * INPUT_PX / side], [0, INPUT_PX / side, -top * INPUT_PX / side]])
    return np.asarray(
        cv2.warpAffine(rgb, matrix, (INPUT_PX, INPUT_PX), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )


def _cosine(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    return float(a @ b / max(1e-12, float(np.linalg.norm(a) * np.linalg.norm(b))))
