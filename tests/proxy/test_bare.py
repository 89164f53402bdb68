"""AVIF files without their boxes come back as they were; everything else crosses whole."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image
from skimage import data

from proxy.bare import MAX_BYTES, bared, whole
from proxy.encode.classical import file_of, pixels_of

COFFEE = np.ascontiguousarray(data.coffee()[::3, ::3])


@pytest.mark.parametrize("fine_colour", [True, False])
@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("pixels", [COFFEE, COFFEE[:1, :7], np.full((300, 2, 3), 7, np.uint8)], ids=lambda p: p.shape)
def test_what_comes_back_is_the_same_picture(pixels: np.ndarray, fine_colour: bool, even: bool) -> None:
    file = file_of(np.ascontiguousarray(pixels), "avif", 40, fine_colour=fine_colour, even=even)
    obus = bared(file.body)
    assert obus is not None and len(obus) < len(file.body) - 250
    with Image.open(io.BytesIO(whole(obus))) as image:
        assert image.format == "AVIF" and np.array_equal(np.asarray(image.convert("RGB")), pixels_of(file))


def test_what_boxes_say_more_about_crosses_whole() -> None:
    alpha = file_of(np.dstack((COFFEE, COFFEE[..., 0])), "avif", 50).body
    turned, grey = io.BytesIO(), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COFFEE).save(turned, "AVIF", exif=exif)
    Image.fromarray(COFFEE).save(grey, "AVIF", subsampling="4:0:0", range="limited")
    for file in (alpha, turned.getvalue(), grey.getvalue(), b"", b"RIFF", alpha[:200], b"x" * (MAX_BYTES + 1)):
        assert bared(file) is None


def test_hostile_data_is_refused() -> None:
    obus = bared(file_of(COFFEE, "avif", 30).body) or b""
    chance = random.Random(5)
    for _ in range(3000):
        mutated = bytearray(obus[: chance.randrange(1, 60)])
        for _ in range(chance.randrange(4)):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        try:
            file = whole(bytes(mutated))
        except ValueError:
            continue
        assert file.endswith(bytes(mutated))
    for refused in (b"", bytes(MAX_BYTES + 1)):
        with pytest.raises(ValueError):
            whole(refused)
