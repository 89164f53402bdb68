from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data as samples

from proxy.encode.classical import file_of
from proxy.transcode import needed, transcode
from tests.fuzz.fuzz_transcode import FILES, attempt

COFFEE = np.asarray(samples.coffee())[:200, :300]
OLD = "image/png,image/*;q=0.8,*/*;q=0.5"


def opened(body: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(body))
    image.load()
    return image


def test_only_browsers_that_do_not_name_the_format_need_another() -> None:
    assert needed("image/avif", OLD) and needed("image/avif", None) and needed("image/avif", "image/webp,*/*")
    assert not needed("image/avif", "image/avif,image/webp") and not needed("image/webp", "image/webp,*/*")


@pytest.mark.parametrize(("accept", "media_type"), [(OLD, "image/jpeg"), ("image/webp,*/*", "image/webp")])
def test_an_opaque_file_becomes_what_the_browser_shows(accept: str, media_type: str) -> None:
    body, made = transcode(file_of(COFFEE, "avif", 60).body, accept, "image/jpeg", 88)
    assert made == media_type and opened(body).size == (300, 200)
    assert np.abs(np.asarray(opened(body).convert("RGB")).astype(int) - COFFEE).mean() < 8


@pytest.mark.parametrize(("accept", "media_type"), [(OLD, "image/png"), ("image/webp,*/*", "image/webp")])
def test_alpha_stays_exact(accept: str, media_type: str) -> None:
    alpha = np.random.default_rng(5).integers(0, 256, (200, 300)).astype(np.uint8)
    body, made = transcode(file_of(np.dstack((COFFEE, alpha)), "avif", 60).body, accept, "image/png", 88)
    assert made == media_type
    assert np.array_equal(np.asarray(opened(body).convert("RGBA"))[..., 3], alpha)


def test_what_is_no_such_file_is_refused() -> None:
    jpeg = io.BytesIO()
    Image.fromarray(COFFEE).save(jpeg, "JPEG")
    for body in (b"", b"RIFF", jpeg.getvalue(), file_of(COFFEE, "avif", 60).body[:300]):
        with pytest.raises(ValueError, match="decoded"):
            transcode(body, OLD, "image/jpeg", 88)


@given(st.sampled_from(FILES), st.integers(0, 3000), st.binary(min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_damaged_files_end_in_a_picture_or_a_value_error(file: bytes, at: int, bytes_: bytes) -> None:
    at %= len(file)
    attempt(file[:at] + bytes_ + file[at + len(bytes_) :])
    attempt(file[:at])
