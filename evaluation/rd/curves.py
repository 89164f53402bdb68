"""Curves from points: what a family can do at best, at any rate, and Bjøntegaard's average of the difference.

In: (bytes or rate, value) points of one image. Out: fronts, values at a rate, BD-rates in percent. Refuses nothing:
curves that do not overlap have no BD-rate.

Bjøntegaard, VCEG-M33 (2001), with PCHIP interpolation (JCTVC-L1100), by the package `bjontegaard`. Distances, where
lower is better, enter with their sign changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import bjontegaard
import numpy as np

from evaluation.metrics.measure import LOWER_IS_BETTER, better

Point = tuple[float, float]  # rate, value of a metric
MIN_POINTS = 3
MIN_OVERLAP = 0.15  # of the narrower of the two curves' ranges of values


def front(metric: str, points: Sequence[Point]) -> list[Point]:
    """The points that no other one beats, by rising rate: the value improves with every one."""
    best: list[Point] = []
    for rate, value in sorted(points, key=lambda p: (p[0], p[1] if metric in LOWER_IS_BETTER else -p[1])):
        if math.isfinite(value) and (not best or better(metric, value, best[-1][1])):
            best.append((rate, value))
    return best


def at(points: Sequence[Point], rate: float) -> float | None:
    """The value of a front at a rate, linear in its logarithm; None outside of it, below its first point."""
    if not points or rate < points[0][0]:
        return None
    rates = [math.log(r) for r, _ in points]
    return float(np.interp(math.log(rate), rates, [value for _, value in points]))


def bd_rate(metric: str, anchor: Sequence[Point], test: Sequence[Point]) -> float | None:
    """Percent of rate that `test` takes more (less: negative) than `anchor` for the same value, both being fronts."""
    if min(len(anchor), len(test)) < MIN_POINTS:
        return None
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    (rates_a, values_a), (rates_b, values_b) = [
        ([rate for rate, _ in points], [sign * value for _, value in points]) for points in (anchor, test)
    ]
    overlap = min(values_a[-1], values_b[-1]) - max(values_a[0], values_b[0])
    if overlap < MIN_OVERLAP * min(values_a[-1] - values_a[0], values_b[-1] - values_b[0]):
        return None
    found = bjontegaard.bd_rate(
        rates_a, values_a, rates_b, values_b, method="pchip", require_matching_points=False, min_overlap=0
    )
    return float(found) if math.isfinite(found) else None
