from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from proxy.sniff import PREFIX_BYTES, may_move, sniff


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
        ("AVIF", "image/avif"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
        ("ICO", "image/x-icon"),
    ],
)
def test_files_are_known_by_their_first_bytes(kind: str, media_type: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, kind)
    assert sniff(out.getvalue()[:64]) == media_type


@pytest.mark.parametrize(
    ("prefix", "media_type"),
    [
        (b"\xff\x0a\x00", "image/jxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "image/avif"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isomiso2", None),
        (b"<svg xmlns='x'>", "image/svg+xml"),
        (b"\xef\xbb\xbf <?xml version='1.0'?>\n<!-- hi -->\n<!DOCTYPE svg>\n<SVG>", "image/svg+xml"),
        (b"<!-- <svg> -->", None),
        (b"<svgx>", None),
        (b"<html><svg>", None),
        (b"BMW is a car maker, not a bitmap" * 2, None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"", None),
    ],
)
def test_odd_beginnings(prefix: bytes, media_type: str | None) -> None:
    assert sniff(prefix) == media_type


@given(st.binary(max_size=PREFIX_BYTES))
def test_no_bytes_make_it_fail(prefix: bytes) -> None:
    assert sniff(prefix) is None or sniff(prefix) is not None


def test_hostile_markup_is_read_in_linear_time() -> None:
    assert sniff(b"<!--" + b" " * 100_000) is None
    assert sniff(b"<!---->" * 50_000) is None


@pytest.mark.parametrize("name", ["PNG", "WEBP", "GIF", "JPEG", "AVIF"])
def test_what_may_move(name: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    still, moving = io.BytesIO(), io.BytesIO()
    frames[0].save(still, name)
    assert may_move(still.getvalue()) is (name == "GIF"), "a GIF's frames would have to be counted"
    if name in ("PNG", "WEBP", "GIF"):
        frames[0].save(moving, name, save_all=True, append_images=frames[1:])
        assert may_move(moving.getvalue())
    assert not may_move(still.getvalue()[:11]) or name == "GIF"
    assert not may_move(b"") and not may_move(b"RIFF____WEBPVP8X")
