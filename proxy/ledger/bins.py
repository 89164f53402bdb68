"""Histograms that can be added up: stage times in bins of a quarter octave, qualities in hundredths.

In: columns, or counts per bin. Out: SQL that names a value's bin, and percentiles by nearest rank. Refuses nothing;
what lies beyond the edges is in the first or the last bin.

A percentile read from bins is at most 9 % off for times and 0.005 for qualities.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, literal_column

from proxy.ledger.row import STAGES

QUALITY = "quality"
NAMES = (*STAGES, QUALITY)
TIME_EDGES_MS = tuple(0.25 * 2 ** (number / 4) for number in range(80))  # to 220 s
QUALITY_EDGES = tuple(number / 100 for number in range(1, 100))


def edges(name: str) -> tuple[float, ...]:
    """The bins' edges: bin n holds the values from edge n-1 up to below edge n."""
    return QUALITY_EDGES if name == QUALITY else TIME_EDGES_MS


def bin_of(name: str, value: float) -> int:
    """The bin of a value."""
    return bisect.bisect_right(edges(name), value)


def bin_column(name: str, column: ColumnElement[Any]) -> ColumnElement[int]:
    """The same in SQL: a search tree of CASEs, for not every SQLite has logarithms."""

    def within(low: int, high: int) -> ColumnElement[int]:
        if low == high:
            return literal_column(str(low))
        middle = (low + high) // 2
        return case(
            (column < literal_column(repr(edges(name)[middle])), within(low, middle)), else_=within(middle + 1, high)
        )

    return within(0, len(edges(name)))


def value(name: str, number: int) -> float:
    """What stands for the values in a bin: its middle, for times the geometric one."""
    marks = edges(name)
    if name == QUALITY:
        return min(number / 100 + 0.005, 1.0)
    if number == 0:
        return marks[0] / 2
    return marks[number - 1] * math.sqrt(marks[1] / marks[0])


def percentile(name: str, counts: Mapping[int, int], percent: float) -> float:
    """The percentile by nearest rank of the values counted in `counts` (bin to number of values, not empty)."""
    rank = max(1, -(-percent * sum(counts.values()) // 100))
    passed = 0
    for number in sorted(counts):
        passed += counts[number]
        if passed >= rank:
            return value(name, number)
    return value(name, max(counts))


def nearest_rank(values: Sequence[float], percent: float) -> float:
    """The percentile by nearest rank of sorted, not empty values."""
    return values[int(max(1, -(-percent * len(values) // 100))) - 1]
