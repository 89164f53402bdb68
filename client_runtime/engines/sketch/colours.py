"""What was sent is what is shown: the drawn picture takes its colours, at low frequency, from the thumbnail or palette.

In: the drawn picture and the small one. Out: the picture corrected. Refuses nothing.

Only differences wider than a few cells of the small picture are corrected, so that its coding artefacts stay away.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from client_runtime.engines.sketch import resample

_THUMBNAIL_CELLS = 3.0  # blur of the correction, in cells of the small picture
_PALETTE_CELLS = 0.8


def match(drawn: npt.NDArray[np.float32], small: npt.NDArray[np.uint8], is_palette: bool) -> npt.NDArray[np.float32]:
    """`drawn` (h, w, 3) in 0..1, shifted so that its local mean colours are those of `small` (n, m, 3)."""
    height, width = drawn.shape[:2]
    rows, columns = min(small.shape[0], height), min(small.shape[1], width)
    sent = cv2.resize(small.astype(np.float32) / 255, (columns, rows), interpolation=cv2.INTER_AREA)
    shown = cv2.resize(drawn, (columns, rows), interpolation=cv2.INTER_AREA)
    sigma = _PALETTE_CELLS if is_palette else _THUMBNAIL_CELLS
    missing = cv2.GaussianBlur(sent - shown, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    missing = np.asarray(missing, np.float32).reshape(rows, columns, 3)
    return drawn + resample.upsample(missing, height, width, 0, 0, height, width)
