from __future__ import annotations

import pytest

from evaluation.rd.curves import at, bd_rate, front

# The example of the package's README; its value for PCHIP equals the JVET spreadsheet's to ten decimals.
ANCHOR = [(1358.24, 34.851), (2486.44, 36.845), (4593.60, 38.615), (9487.76, 40.037)]
TEST = [(1356.24, 34.987), (2451.52, 36.970), (4469.00, 38.651), (9787.80, 40.121)]


def test_bd_rate_is_the_published_example() -> None:
    assert bd_rate("psnr", ANCHOR, TEST) == pytest.approx(-4.4175, abs=1e-3)


def test_half_the_bytes_are_minus_fifty_percent_for_either_sense() -> None:
    for metric, values in (("ms_ssim", (0.5, 0.7, 0.8, 0.9)), ("lpips_alex", (0.5, 0.3, 0.2, 0.1))):
        anchor = list(zip((0.1, 0.2, 0.4, 0.8), values, strict=True))
        assert bd_rate(metric, anchor, [(r / 2, v) for r, v in anchor]) == pytest.approx(-50, abs=1e-6)
        assert bd_rate(metric, anchor, [(r * 2, v) for r, v in anchor]) == pytest.approx(100, abs=1e-6)


def test_curves_that_do_not_meet_have_no_bd_rate() -> None:
    high = [(1.0, 50.0), (2.0, 52.0), (4.0, 54.0)]
    assert bd_rate("psnr", ANCHOR, high) is None
    assert bd_rate("psnr", ANCHOR, TEST[:2]) is None


def test_the_front_keeps_what_nothing_beats() -> None:
    points = [(3.0, 0.5), (1.0, 0.9), (2.0, 0.95), (4.0, 0.5), (3.0, 0.6), (5.0, float("nan"))]
    assert front("lpips_alex", points) == [(1.0, 0.9), (3.0, 0.5)]
    assert front("psnr", [(1.0, 20.0), (2.0, 19.0), (3.0, 30.0), (3.0, 25.0)]) == [(1.0, 20.0), (3.0, 30.0)]


def test_values_at_a_rate() -> None:
    curve = [(0.1, 1.0), (0.4, 3.0)]
    assert at(curve, 0.2) == pytest.approx(2)
    assert at(curve, 0.9) == 3  # fewer bytes than allowed
    assert at(curve, 0.05) is None and at([], 1.0) is None
