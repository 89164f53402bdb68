"""What is opened, and what is left alone before it costs anything."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from proxy.encode import Declined, EncodeRequest
from proxy.encode.encoder import encode
from proxy.encode.source import FULL_PIXELS, Source, open_full, open_source
from proxy.policy import Reason, Skip

LIMIT = 50_000_000


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("size", [(1, 900), (3000, 2), (4000, 1)])
def test_lines_are_left_alone(size: tuple[int, int]) -> None:
    opened = open_source(png(*size), LIMIT)
    assert isinstance(opened, Skip) and opened.reason is Reason.TOO_SMALL
    assert isinstance(encode(EncodeRequest(data=png(*size), min_bytes=0)), Declined)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (900, 3), (2000, 40)])
def test_narrow_pictures_are_opened(size: tuple[int, int]) -> None:
    opened = open_source(png(*size), LIMIT)
    assert isinstance(opened, Source) and (opened.width_px, opened.height_px) == size


def test_what_is_too_much_to_hold_whole_is_opened_small_only() -> None:
    large = png(5000, FULL_PIXELS // 5000 + 1)
    refused = open_full(large, LIMIT)
    assert isinstance(refused, Skip) and refused.reason is Reason.TOO_MANY_PIXELS
    assert isinstance(open_source(large, LIMIT), Source)
