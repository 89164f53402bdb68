"""Figure 3: what Canny maps cost, as pictures and as JBIG2, against the original file.

In: uint8 RGB (h, w, 3) at the original's size, and the bundle with our map. Out: bytes by coding. Refuses: nothing.
"""

from __future__ import annotations

import io

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from proxy.bundle import Bundle, jbig2
from proxy.encode.edges import TEMPLATE

RGB = npt.NDArray[np.uint8]
THRESHOLDS = (100, 200)  # OpenCV's and ControlNet's customary ones
PNG, JBIG2, OURS = "Canny as PNG", "Canny as JBIG2", "half-size, pruned, JBIG2"
CODINGS = (PNG, JBIG2, OURS)


def costs(rgb: RGB, bundle: Bundle | None) -> dict[str, int | None]:
    """Bytes of the full-size map as a one-bit PNG and as JBIG2, and of the bundle's map; None where it has none."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    lines = np.asarray(cv2.Canny(grey, *THRESHOLDS), np.uint8) > 0
    out = io.BytesIO()
    Image.fromarray(lines).save(out, "PNG", optimize=True)
    return {
        PNG: len(out.getvalue()),
        JBIG2: len(jbig2.encode(lines, template=TEMPLATE)),
        OURS: len(bundle.edges.payload) if bundle and bundle.edges else None,
    }
