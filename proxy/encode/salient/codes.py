"""QR codes and barcodes, by OpenCV's own detectors (always there, a few milliseconds).

In: uint8 RGB (h, w, 3). Out: a `Box` per code, in its pixels. Refuses: nothing; what a detector takes for a
QR code but has not its two tones is dropped, and so are barcodes that don't decode.
"""

from __future__ import annotations

from math import sqrt

import cv2
import numpy as np
import numpy.typing as npt

from proxy.bundle import SalientKind
from proxy.encode.salient.boxes import Box, clipped

RGB = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.uint8]

MIN_SIDE_PX = 12.0
SEARCH_PIXELS, MAX_ENLARGEMENT = 1_200_000, 2.0
MIN_CONTRAST = 40.0
MIN_CROSSINGS = 5.0  # per row of pixels: a QR code has 21 modules or more


def available() -> bool:
    """Whether this OpenCV has the detectors; every build since 4.8 has."""
    return hasattr(cv2, "QRCodeDetectorAruco") and hasattr(cv2, "barcode")


def detect(rgb: RGB) -> list[Box]:
    """Codes in `rgb`. Never raises: OpenCV's detectors throw on some degenerate inputs."""
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    return _qr_codes(grey) + _barcodes(grey)


def _qr_codes(grey: Grey) -> list[Box]:
    # Of the two detectors in OpenCV, this one finds five times as many small codes, and most when enlarged.
    detector = cv2.QRCodeDetectorAruco()
    scale = min(max(sqrt(SEARCH_PIXELS / grey.size), 1.0), MAX_ENLARGEMENT)
    large = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) if scale > 1 else grey
    try:
        found, corners = detector.detectMulti(large)
        quads = [] if not found or corners is None else list(corners)
    except cv2.error:
        return []
    boxes = [_box(quad / scale, grey) for quad in quads]
    return [box for box in boxes if min(box.width, box.height) >= MIN_SIDE_PX and looks_printed(_cut(grey, box))]


def _barcodes(grey: Grey) -> list[Box]:
    try:
        _, texts, corners, _ = cv2.barcode.BarcodeDetector().detectAndDecodeMulti(grey)
    except cv2.error:
        return []
    quads = [] if corners is None else list(corners)
    return [_box(quad, grey) for quad, text in zip(quads, texts, strict=False) if text]


def looks_printed(grey: Grey, least_dark: float = 0.2) -> bool:
    """Whether `grey` has a dark and a light tone of about equal areas, and many steps between them, as codes have.

    Decoding would be surer and slower, and would drop codes that are too small or worn here for OpenCV, but not for
    the reader's phone. `least_dark` is the least share of either tone.
    """
    if min(grey.shape) < 8:
        return False
    _, dark = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    if not least_dark <= float(dark.mean()) <= 1 - least_dark:
        return False
    contrast = float(grey[dark == 0].mean()) - float(grey[dark > 0].mean())
    crossings = float(np.abs(np.diff(dark.astype(np.int8), axis=1)).sum(axis=1).mean())
    return contrast >= MIN_CONTRAST and crossings >= MIN_CROSSINGS


def _box(quad: npt.NDArray[np.float32], grey: Grey) -> Box:
    left, top = (float(v) for v in quad.reshape(-1, 2).min(axis=0))
    right, bottom = (float(v) for v in quad.reshape(-1, 2).max(axis=0))
    return clipped(Box(left, top, right, bottom, SalientKind.CODE), grey.shape[1], grey.shape[0])


def _cut(grey: Grey, box: Box) -> Grey:
    return grey[int(box.top) : int(box.bottom) + 1, int(box.left) : int(box.right) + 1]
