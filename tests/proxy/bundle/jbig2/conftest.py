"""Bitmaps that reach the corners of the coder, and every way to code them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from proxy.bundle.jbig2.region import CODERS, Bitmap, Coder


def _canny_like() -> Bitmap:
    noise = np.random.Generator(np.random.Philox(7))
    image = np.full((75, 101), 90, np.uint8)
    cv2.circle(image, (40, 30), 22, 200, -1)
    cv2.rectangle(image, (60, 40), (95, 70), 30, -1)
    cv2.line(image, (3, 72), (90, 5), 255, 2)
    image += noise.integers(0, 25, image.shape, np.uint8) * (image < 231)
    return np.asarray(cv2.Canny(image, 60, 140) > 0)


def _typical_contexts() -> Bitmap:
    """Full of the context that typical prediction shares with pixels: one pattern fits Figures 8 to 11."""
    tile = np.array([[0, 0, 1, 0, 0, 1, 1, 0], [0, 0, 1, 1, 0, 0, 1, 0], [0, 1, 0, 1, 1, 0, 0, 0]], bool)
    tile[:, 0] |= [True, False, False]
    return np.repeat(np.tile(tile, (6, 7)), [1, 1, 1, 1, 1, 3] * 3, axis=0)


def _bitmaps() -> dict[str, Bitmap]:
    random = np.random.Generator(np.random.Philox(1))
    return {
        "one white": np.zeros((1, 1), bool),
        "one black": np.ones((1, 1), bool),
        "one row": random.random((1, 67)) < 0.4,
        "one column": random.random((67, 1)) < 0.4,
        "two by three": np.array([[0, 1], [1, 1], [1, 0]], bool),
        "eight by eight": random.random((8, 8)) < 0.5,
        "odd sides": random.random((13, 37)) < 0.1,
        "all white": np.zeros((31, 45), bool),
        "all black": np.ones((31, 45), bool),
        "noise": random.random((40, 51)) < 0.5,
        "sparse": random.random((50, 60)) < 0.02,
        "checkered": np.indices((21, 22)).sum(axis=0) % 2 == 1,
        "repeating rows": np.repeat(random.random((9, 40)) < 0.3, 5, axis=0),
        "typical contexts": _typical_contexts(),
        "canny": _canny_like(),
    }


BITMAPS = _bitmaps()


@pytest.fixture(params=BITMAPS)
def bitmap(request: pytest.FixtureRequest) -> Bitmap:
    return BITMAPS[request.param]


@pytest.fixture
def canny() -> Bitmap:
    return BITMAPS["canny"]


@pytest.fixture(params=range(4), ids="template{}".format)
def template(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=[False, True], ids=["plain", "typical"])
def typical_prediction(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=["c", "python"])
def implementation(request: pytest.FixtureRequest) -> str:
    if request.param not in CODERS:
        pytest.skip("the C coder was not built: python setup.py build_ext --inplace")
    return str(request.param)


@pytest.fixture
def coder(implementation: str) -> Coder:
    return CODERS[implementation]
