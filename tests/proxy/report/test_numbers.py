"""Numbers as people read them."""

from __future__ import annotations

import pytest

from proxy.report.numbers import duration, milliseconds, moment, money, percent, rate, share


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (90, "1 min 30 s"),
        (3_599.6, "1 h"),
        (3_660, "1 h 1 min"),
        (86_399, "1 d"),
        (90_000, "1 d 1 h"),
        (-90, "-1 min 30 s"),
        (400 * 86_400, "400 d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("ms", "text"), [(0.04, "0.0 ms"), (9.96, "10 ms"), (1_467, "1,467 ms"), (9_960, "10.0 s")])
def test_milliseconds(ms: float, text: str) -> None:
    assert milliseconds(ms) == text


@pytest.mark.parametrize(
    ("bits_s", "text"), [(64_000, "64 kbit/s"), (999_600, "1.0 Mbit/s"), (1e6, "1.0 Mbit/s"), (1e8, "100 Mbit/s")]
)
def test_rates(bits_s: float, text: str) -> None:
    assert rate(bits_s) == text


def test_money_percent_share_and_time() -> None:
    assert money(1234.5, "EUR") == "1,234.50 EUR" and money(0.0123, "") == "0.0123" and money(0, "EUR") == "0.00 EUR"
    assert percent(None) == "–" and percent(-3.04) == "-3.0 %"
    assert share(1, 0) is None and share(1, 4) == 25.0
    assert moment(0) == "1970-01-01 00:00" and moment(None) == "–"
