from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.stats import mean, median, worst_mean


def test_the_interval_of_a_mean_is_about_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(10, 2, 400)
    found = mean(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert found is not None and found.low is not None and found.high is not None
    assert found.value == pytest.approx(values.mean()) and found.count == 400
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=0.1)
    assert mean(values) == found  # the same values give the same interval


def test_few_equal_and_infinite_values() -> None:
    assert median([]) is None and mean([math.inf]) is None
    assert mean([3.0, 5.0]).low is None  # type: ignore[union-attr]
    constant = median([4.0] * 9)
    assert constant is not None and (constant.value, constant.low, constant.high) == (4, 4, 4)
    assert mean([1.0, math.inf, 3.0]).value == 2  # type: ignore[union-attr]


def test_the_worst_share_has_at_least_one() -> None:
    values = [float(v) for v in range(40)]
    assert worst_mean(values, 0.05, highest_is_worst=False) == 0.5
    assert worst_mean(values, 0.05, highest_is_worst=True) == 38.5
    assert worst_mean([7.0, 9.0], 0.05, highest_is_worst=False) == 7
    assert worst_mean([], 0.05, highest_is_worst=True) is None
