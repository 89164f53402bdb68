"""Round trips, the frozen bytes of the wire format, and payloads nobody should send."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from proxy.bundle import BundleError, BundleTooLarge
from proxy.bundle.jbig2 import IMPLEMENTATION, decode, encode
from proxy.bundle.jbig2.region import CODERS, Bitmap

TINY_BITMAPS = arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 40)))
SPARSE_BITMAPS = arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 40)), fill=st.just(False))


def test_round_trip(bitmap: Bitmap, template: int, typical_prediction: bool, implementation: str) -> None:
    height_px, width_px = bitmap.shape
    payload = encode(bitmap, template, typical_prediction, implementation=implementation)
    decoded = decode(payload, width_px, height_px, template, typical_prediction, implementation=implementation)
    assert decoded.dtype == np.bool_
    np.testing.assert_array_equal(decoded, bitmap)


@settings(deadline=None)
@given(st.one_of(TINY_BITMAPS, SPARSE_BITMAPS), st.integers(0, 3), st.booleans())
def test_round_trip_of_any_bitmap(bitmap: Bitmap, template: int, typical_prediction: bool) -> None:
    height_px, width_px = bitmap.shape
    payload, *others = (encode(bitmap, template, typical_prediction, implementation=name) for name in CODERS)
    assert all(other == payload for other in others)
    for name in CODERS:
        decoded = decode(payload, width_px, height_px, template, typical_prediction, implementation=name)
        np.testing.assert_array_equal(decoded, bitmap)


# (template, typical prediction): the bytes of `golden_bitmap`, as every version must make and read them.
GOLDEN = {
    (0, False): "56c0c962839a214a9835733716e62a8b1500ee08e234d20736d2e5f86854a633c09305e295a3f9ca5e",
    (0, True): "8160f264d9548924ea0726c2c264c018103ce3ff05f7b0bd7e3f95c4b2376a03ef61e5929dc78e8c7c85",
    (1, False): "57ff396388355965625c4908b88c127b82333ed15c80d9871b8dd36b5d1bfdd0f6a1aeaf621f",
    (1, True): "81ff6b388a0ffc85acc983906bfd307e1336264940263ade3ffefacb88d7f048a0431343429ebf",
    (2, False): "57fc79e71343dad6d235b89f16743be4dccb6b0d25a3d71f4b894b7b9ecfc6f797",
    (2, True): "8200dc8b6cb1f6d6b61eece18b6e676c2e69cc81c46ad86f5095ded877fb31223f",
    (3, False): "56c0c9ea35417e1dca8ad6189e54fe2c72dddd2f9b31258fcd1bf2c0d064986baf21c7cbbc",
    (3, True): "816108015f219718159b038424b27b68978ea733a00bfaf7d7ebe4b84b32c6b415929fe57d7f",
}


def golden_bitmap() -> Bitmap:
    """A ring and a diagonal on 24 × 32, from integers alone."""
    y, x = np.indices((24, 32))
    radius2 = (x - 14) ** 2 + (y - 11) ** 2
    return np.asarray(((radius2 > 64) & (radius2 < 90)) | (x == y + 4), np.bool_)


@pytest.mark.parametrize("template, typical_prediction", GOLDEN)
def test_bytes_on_the_wire_never_change(template: int, typical_prediction: bool, implementation: str) -> None:
    payload = encode(golden_bitmap(), template, typical_prediction, implementation=implementation)
    assert payload.hex() == GOLDEN[template, typical_prediction]


def test_payload_ends_before_what_the_decoder_infers(
    bitmap: Bitmap, template: int, typical_prediction: bool, implementation: str
) -> None:
    payload = encode(bitmap, template, typical_prediction, implementation=implementation)
    assert not payload.endswith((b"\xff", b"\xff\x7f", b"\xff\xac"))


def test_typical_prediction_pays_for_repeating_rows(implementation: str) -> None:
    bitmap = np.repeat(np.random.Generator(np.random.Philox(3)).random((20, 60)) < 0.5, 12, axis=0)
    sizes = [len(encode(bitmap, 2, typical, implementation=implementation)) for typical in (False, True)]
    assert sizes[1] < 0.8 * sizes[0]


def test_decoded_bitmap_may_be_written_to(canny: Bitmap, implementation: str) -> None:
    height_px, width_px = canny.shape
    decoded = decode(encode(canny), width_px, height_px, implementation=implementation)
    decoded[0, 0] = True
    assert decoded[0, 0]


def test_views_and_other_kinds_of_numbers_are_coded_by_value(canny: Bitmap) -> None:
    assert encode(canny[:, ::-1][::2]) == encode(np.array(canny[:, ::-1][::2], order="C"))
    assert encode(canny.astype(np.uint8) * 255) == encode(canny)  # type: ignore[arg-type]


def test_truncation_at_every_length_gives_a_bitmap(
    canny: Bitmap, template: int, typical_prediction: bool, implementation: str
) -> None:
    bitmap = canny[:40, :40]
    payload = encode(bitmap, template, typical_prediction)
    for size_bytes in range(len(payload)):
        decoded = decode(payload[:size_bytes], 40, 40, template, typical_prediction, implementation=implementation)
        assert decoded.shape == (40, 40)
        assert not np.array_equal(decoded, bitmap), "a shorter payload would have done"
        assert set(np.unique(decoded.view(np.uint8))) <= {0, 1}


def test_bytes_after_the_end_change_nothing_behind_a_marker(canny: Bitmap, implementation: str) -> None:
    height_px, width_px = canny.shape
    payload = encode(canny) + b"\xff\xac" + b"anything"
    np.testing.assert_array_equal(decode(payload, width_px, height_px, implementation=implementation), canny)


@settings(deadline=None)
@given(st.binary(max_size=80), st.integers(1, 40), st.integers(1, 30), st.integers(0, 3), st.booleans())
def test_any_payload_is_some_bitmap(
    payload: bytes, width_px: int, height_px: int, template: int, typical_prediction: bool
) -> None:
    bitmaps = [decode(payload, width_px, height_px, template, typical_prediction, implementation=n) for n in CODERS]
    for bitmap in bitmaps:
        assert bitmap.shape == (height_px, width_px)
        np.testing.assert_array_equal(bitmap, bitmaps[0])


@pytest.mark.parametrize("width_px, height_px", [(65_535, 65_535), (4097, 4096), (65_535, 257)])
def test_refuses_more_pixels_than_allowed(width_px: int, height_px: int, implementation: str) -> None:
    with pytest.raises(BundleTooLarge, match="16777216 pixels"):
        decode(b"\x00", width_px, height_px, implementation=implementation)


def test_limit_is_the_callers(implementation: str) -> None:
    assert decode(b"", 10, 10, max_pixels=100, implementation=implementation).shape == (10, 10)
    with pytest.raises(BundleTooLarge):
        decode(b"", 10, 10, max_pixels=99, implementation=implementation)


@pytest.mark.parametrize("width_px, height_px", [(0, 5), (5, 0), (-3, 5), (65_536, 1), (1, 2**70)])
def test_refuses_impossible_sides(width_px: int, height_px: int, implementation: str) -> None:
    with pytest.raises(BundleError, match="sides of 1 to 65535"):
        decode(b"", width_px, height_px, implementation=implementation)


@pytest.mark.parametrize("template", [-1, 4, 255])
def test_refuses_unknown_templates(template: int, implementation: str) -> None:
    with pytest.raises(BundleError, match="templates 0 to 3"):
        decode(b"", 4, 4, template, implementation=implementation)
    with pytest.raises(BundleError, match="templates 0 to 3"):
        encode(np.zeros((4, 4), bool), template, implementation=implementation)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (65_536, 1), (4,), (4, 4, 1)])
def test_refuses_bitmaps_that_no_region_has(shape: tuple[int, ...], implementation: str) -> None:
    with pytest.raises(BundleError):
        encode(np.zeros(shape, bool), implementation=implementation)


def test_prefers_the_compiled_coder() -> None:
    assert next(iter(CODERS)) == IMPLEMENTATION
    assert IMPLEMENTATION == "c" or "c" not in CODERS
