"""Strangers' pictures become small in a process of their own, or nothing."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from proxy.gallery.shrink import SIDE_PX, shrunk, small
from tests.proxy.gallery.pictures import picture


async def test_a_picture_becomes_small_and_loses_what_it_says() -> None:
    exif = Image.Exif()
    exif[0x010E] = "s3cr3t place"
    file = picture(1600, 1200, exif=exif.tobytes())
    made = await shrunk(file)
    with Image.open(io.BytesIO(made)) as image:
        assert image.format == "WEBP" and image.size == (SIDE_PX, 240) and not image.getexif()
        assert image.convert("RGB").getpixel((300, 200))[0] > 200  # still the same picture: red grows to the right
    assert b"s3cr3t" not in made and b"s3cr3t" in file


def test_small_pictures_are_not_made_larger() -> None:
    with Image.open(io.BytesIO(small(picture(90, 30, "PNG")))) as image:
        assert image.size == (90, 30)


@pytest.mark.parametrize("file", [b"", b"\xff\xd8\xff\xe0" + bytes(500), picture()[:2000]])
async def test_what_cannot_be_decoded_is_refused(file: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be decoded"):
        await shrunk(file)


async def test_a_bomb_is_refused() -> None:
    bomb = io.BytesIO()
    Image.new("1", (40_000, 40_000)).save(bomb, "PNG")
    assert bomb.tell() < 1_000_000
    with pytest.raises(ValueError, match="cannot be decoded"):
        await shrunk(bomb.getvalue())
