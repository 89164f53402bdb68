"""Figures with their uncertainty: percentile bootstrap over images.

In: one value per image. Out: an `Estimate`. Refuses nothing: without values there is no estimate, with fewer than
MIN_FOR_INTERVAL no interval.

Efron, "Bootstrap methods: another look at the jackknife" (1979), as implemented by scipy; the seed is fixed, so that
the same values give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

MIN_FOR_INTERVAL = 3
RESAMPLES = 2000
CONFIDENCE = 0.95
_SEED = 20240705


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic of `count` values, with the bounds of its 95 % interval where there are enough of them."""

    value: float
    low: float | None
    high: float | None
    count: int


def mean(values: Iterable[float]) -> Estimate | None:
    """Their mean; infinite values (PSNR of equal pictures) and NaN are left out."""
    return _estimate(values, np.mean)


def median(values: Iterable[float]) -> Estimate | None:
    """Their median."""
    return _estimate(values, np.median)


def worst_mean(values: Iterable[float], share: float, highest_is_worst: bool) -> float | None:
    """The mean of the worst `share` of the values, at least of one."""
    ordered = sorted(_finite(values), reverse=highest_is_worst)
    count = max(1, math.ceil(share * len(ordered)))
    return float(np.mean(ordered[:count])) if ordered else None


def _estimate(values: Iterable[float], statistic: Callable[..., Any]) -> Estimate | None:
    known = np.array(_finite(values))
    if not len(known):
        return None
    value = float(statistic(known))
    if len(known) < MIN_FOR_INTERVAL:
        return Estimate(value, None, None, len(known))
    if np.ptp(known) == 0:
        return Estimate(value, value, value, len(known))
    found = stats.bootstrap(
        (known,), statistic, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="percentile",
        rng=np.random.default_rng(_SEED), vectorized=True,
    )  # fmt: skip
    return Estimate(value, float(found.confidence_interval.low), float(found.confidence_interval.high), len(known))


def _finite(values: Iterable[float]) -> list[float]:
    return [float(value) for value in values if math.isfinite(value)]
