"""The coder against the standard's own examples, and the two implementations against each other."""

from __future__ import annotations

import numpy as np
import pytest

from proxy.bundle.jbig2 import python
from proxy.bundle.jbig2.region import CODERS, Bitmap, Coder

# ITU-T T.88, H.2: 256 decisions in one context, and their code with its marker.
H2_DECISIONS = np.unpackbits(
    np.frombuffer(bytes.fromhex("00020051000000C00352872AAAAAAAAA82C02000FCD79EF6BF7FED904F46A3BF"), np.uint8)
).tobytes()
H2_CODE = bytes.fromhex("84C73BFCE1A1430402200000410DBB86F4317FFF88FF37471ADB6ADFFFAC")

# ITU-T T.88, H.1, data of the twelfth segment: a frame of 54 × 44, template 0, typical prediction, two pixels thick.
H1_CODE = bytes.fromhex("04EEED87FBCB2BFFAC")
H1_WIDTH_PX, H1_HEIGHT_PX = 54, 44


def h1_frame() -> bytes:
    frame = np.ones((H1_HEIGHT_PX, H1_WIDTH_PX), np.uint8)
    frame[2:-2, 2:-2] = 0
    return frame.tobytes()


def test_encodes_the_standards_test_sequence(coder: Coder) -> None:
    assert coder.encode_decisions(H2_DECISIONS) == H2_CODE


def test_decodes_the_standards_test_sequence(coder: Coder) -> None:
    assert coder.decode_decisions(H2_CODE, 256) == H2_DECISIONS


def test_encodes_the_standards_generic_region(coder: Coder) -> None:
    assert coder.encode_region(h1_frame(), H1_WIDTH_PX, H1_HEIGHT_PX, 0, True) == H1_CODE.removesuffix(b"\xff\xac")


@pytest.mark.parametrize("code", [H1_CODE, H1_CODE.removesuffix(b"\xff\xac")], ids=["marked", "bare"])
def test_decodes_the_standards_generic_region(coder: Coder, code: bytes) -> None:
    assert coder.decode_region(code, H1_WIDTH_PX, H1_HEIGHT_PX, 0, True) == h1_frame()


def test_long_runs_and_rare_changes_come_back(coder: Coder) -> None:
    """Down to the rarest state (Qe = 1), where one decision shifts by fifteen bits."""
    decisions = bytes([0] * 200_000 + [1] + [0] * 70_000 + [1] * 300)
    assert coder.decode_decisions(coder.encode_decisions(decisions), len(decisions)) == decisions


def ways_to_every_row() -> dict[int, list[bool]]:
    """For each row of Table E.1 that row 0 leads to, the shortest way: more (true) or less probable symbols."""
    ways: dict[int, list[bool]] = {0: []}
    for row in (queue := [0]):
        for is_mps, after in ((True, python.TABLE_E1[row][1]), (False, python.TABLE_E1[row][2])):
            if after not in ways:
                ways[after] = [*ways[row], is_mps]
                queue.append(after)
    return ways


def walk(way: list[bool]) -> bytes:
    """The decisions of a way, and then some in which the row it led to shows."""
    encoder = python.Encoder(1)
    decisions = bytearray()
    for is_mps in way:
        state = encoder.contexts[0]
        for _ in range(0x8000):  # a more probable symbol changes the state only when it renormalises
            decisions.append(state & 1 if is_mps else 1 - (state & 1))
            encoder.encode([0], decisions[-1:])
            if encoder.contexts[0] != state:
                break
    return bytes(decisions) + bytes([0, 1, 1, 0, 0, 0, 1, 0] * 3)


def test_every_row_of_the_table_is_the_same_in_both(coder: Coder) -> None:
    ways = ways_to_every_row()
    assert set(ways) == set(range(46)), "nothing leads to row 46"
    for way in ways.values():
        for is_mps in (True, False):
            decisions = walk([*way, is_mps])
            code = coder.encode_decisions(decisions)
            assert code == python.encode_decisions(decisions)
            assert coder.decode_decisions(code, len(decisions)) == decisions


def test_all_white_takes_one_byte(coder: Coder) -> None:
    payload = coder.encode_region(bytes(5000), 50, 100, 2, False)
    assert len(payload) == 1
    assert coder.decode_region(payload, 50, 100, 2, False) == bytes(5000)


@pytest.mark.skipif("c" not in CODERS, reason="the C coder was not built: python setup.py build_ext --inplace")
def test_both_implementations_make_the_same_bytes(bitmap: Bitmap, template: int, typical_prediction: bool) -> None:
    height_px, width_px = bitmap.shape
    pixels = bitmap.tobytes()
    codes = {n: c.encode_region(pixels, width_px, height_px, template, typical_prediction) for n, c in CODERS.items()}
    assert codes["c"] == codes["python"]
    for coder in CODERS.values():
        assert coder.decode_region(codes["c"], width_px, height_px, template, typical_prediction) == pixels


@pytest.mark.skipif("c" not in CODERS, reason="the C coder was not built: python setup.py build_ext --inplace")
def test_both_implementations_read_garbage_alike(template: int, typical_prediction: bool) -> None:
    random = np.random.Generator(np.random.Philox(11))
    for size_bytes in range(60):
        payload = random.integers(0, 256, size_bytes, np.uint8)
        payload[random.random(size_bytes) < 0.3] = 0xFF  # stuffed bytes, impossible stuffing and markers inside
        args = (payload.tobytes(), 23, 17, template, typical_prediction)
        assert CODERS["c"].decode_region(*args) == CODERS["python"].decode_region(*args)


def test_any_pixel_but_zero_is_black(coder: Coder) -> None:
    pixels = bytes([0, 255, 2, 0, 7, 0])
    assert coder.encode_region(pixels, 3, 2, 0, False) == coder.encode_region(bytes([0, 1, 1, 0, 1, 0]), 3, 2, 0, False)


def test_refuses_what_it_cannot_hold(coder: Coder) -> None:
    for width_px, height_px in ((0, 1), (1, 0), (-1, 1), (65_536, 1), (1, 2**40)):
        with pytest.raises(ValueError, match="sides of 1 to 65535"):
            coder.decode_region(b"", width_px, height_px, 0, False)
        with pytest.raises(ValueError, match="sides of 1 to 65535"):
            coder.encode_region(b"", width_px, height_px, 0, False)
    for template in (-1, 4):
        with pytest.raises(ValueError, match="templates 0 to 3"):
            coder.decode_region(b"", 1, 1, template, False)
    for size in (0, 5, 7):
        with pytest.raises(ValueError, match="no bitmap of 3x2"):
            coder.encode_region(bytes(size), 3, 2, 0, False)
    with pytest.raises(ValueError, match="not negative"):
        coder.decode_decisions(b"", -1)
