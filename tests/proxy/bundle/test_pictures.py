"""Headerless AVIF and WebP: the files written again decode to the very same pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from proxy.bundle import BundleError, Coding, Picture, avif, webp
from proxy.bundle.pixels import picture_file, picture_rgb


def photo(width: int, height: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows * 3 % 256, columns * 5 % 256, (rows + columns) % 256], axis=2)
    return Image.fromarray(pixels.astype(np.uint8))


def saved(image: Image.Image, format_: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (37, 51), (160, 107), (600, 400)])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4", "4:0:0"])
def test_avif_without_boxes_decodes_to_the_same_pixels(size: tuple[int, int], subsampling: str) -> None:
    file = saved(photo(*size), "AVIF", quality=40, subsampling=subsampling, speed=8)
    obus = avif.strip(file)
    assert avif.size(obus) == size
    assert len(file) - len(obus) > 250
    again = Image.open(io.BytesIO(avif.wrap(obus, *size)))
    assert np.array_equal(np.asarray(again.convert("RGB")), np.asarray(Image.open(io.BytesIO(file)).convert("RGB")))


@pytest.mark.parametrize("lossless", [False, True])
def test_webp_without_its_header_decodes_to_the_same_pixels(lossless: bool) -> None:
    file = saved(photo(33, 21), "WEBP", quality=50, lossless=lossless)
    stream, was_lossless = webp.strip(file)
    assert was_lossless is lossless
    assert webp.size(stream, lossless) == (33, 21)
    assert webp.wrap(stream, lossless) == file


def test_avif_with_alpha_has_no_bare_form() -> None:
    image = photo(40, 30).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((40, 30)))
    with pytest.raises(BundleError):
        avif.strip(saved(image, "AVIF"))


def test_truncated_files_are_refused() -> None:
    avif_file, webp_file = saved(photo(40, 30), "AVIF", quality=30), saved(photo(40, 30), "WEBP")
    for length in range(0, len(avif_file) - 1, 7):
        with pytest.raises(BundleError):
            avif.strip(avif_file[:length])
    for length in range(0, len(webp_file) - 1, 7):
        with pytest.raises(BundleError):
            webp.strip(webp_file[:length])


def test_hostile_streams_decode_or_are_refused() -> None:
    chance = np.random.default_rng(3)
    stream = avif.strip(saved(photo(64, 48), "AVIF", quality=30))
    for _ in range(200):
        damaged = bytearray(stream)
        for _ in range(3):
            damaged[chance.integers(2, len(damaged))] = chance.integers(256)
        try:
            width, height = avif.size(bytes(damaged))
            if width * height <= 1_000_000:
                assert picture_rgb(Picture(Coding.AVIF, width, height, bytes(damaged))).shape == (height, width, 3)
        except BundleError:
            continue


def test_a_picture_of_another_size_than_declared_is_refused() -> None:
    stream = avif.strip(saved(photo(64, 48), "AVIF", quality=30))
    with pytest.raises(BundleError):
        picture_rgb(Picture(Coding.AVIF, 64, 40, stream))


def test_parts_are_exported_as_standard_files() -> None:
    stream = avif.strip(saved(photo(64, 48), "AVIF", quality=30))
    suffix, file = picture_file(Picture(Coding.AVIF, 64, 48, stream))
    assert suffix == ".avif"
    assert Image.open(io.BytesIO(file)).format == "AVIF"
