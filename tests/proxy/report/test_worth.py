"""Time and money saved."""

from __future__ import annotations

import pytest

from proxy.config import ReportConfig
from proxy.ledger.answers import Group, Totals
from proxy.ledger.row import Row
from proxy.report.worth import ENOUGH_ANSWERS, measured_rate, worth

SAVED = Totals(responses=3_000, origin_bytes=110_000_000, link_bytes=9_000_000, refetch_bytes=1_000_000)
DRAWN = (Group(("reconstructed", ""), Totals(responses=2_500, cache_hits=500)), Group(("passed", ""), Totals(500)))


def test_time_and_money_are_net() -> None:
    config = ReportConfig(link_kbit_s=800, price_per_mb=0.02, drawing_price=0.1, daily_price=0.5, currency="KES")
    found = worth(SAVED, DRAWN, config, 2 * 86_400, None)
    assert found.time_s == pytest.approx(100e6 * 8 / 800e3) and found.rate_bits_s == 800e3 and not found.rate_measured
    assert found.bytes_money == pytest.approx(2.0) and found.drawing_money == pytest.approx(0.2)
    assert found.running_money == pytest.approx(1.0) and found.net_money == pytest.approx(0.8)
    one = worth(SAVED, DRAWN, config, 2 * 86_400, None, running=False)
    assert one.running_money == 0 and one.net_money == pytest.approx(1.8)


def test_what_costs_more_than_it_saves_is_negative() -> None:
    lost = Totals(origin_bytes=1_000_000, link_bytes=3_000_000)
    found = worth(lost, (), ReportConfig(link_kbit_s=1000, price_per_mb=1, daily_price=5), 86_400, None)
    assert found.time_s == pytest.approx(-16) and found.net_money == pytest.approx(-7)


def test_nothing_is_guessed() -> None:
    found = worth(SAVED, DRAWN, ReportConfig(), 86_400, None)
    assert (found.time_s, found.rate_bits_s, found.bytes_money, found.net_money) == (None, None, None, None)
    assert worth(SAVED, DRAWN, ReportConfig(), 86_400, 1e6).rate_measured


def answer(kbit_s: float, **changes: object) -> Row:
    values: dict[str, object] = {"link_bytes": 100_350, "link_up_bytes": 350, "link_ms": 800_000 / kbit_s} | changes
    return Row(time_s=0.0, role="downstream", decision="passed", **values)  # type: ignore[arg-type]


def test_the_rate_is_read_from_large_answers() -> None:
    rows = [answer(kbit_s) for kbit_s in range(100, 100 + 10 * ENOUGH_ANSWERS, 10)]
    assert measured_rate(rows) == pytest.approx(270_000)  # the 18th of 20
    assert measured_rate(rows[1:]) is None
    small = [answer(9_000, link_bytes=20_000), answer(9_000, refetch_bytes=1), answer(9_000, link_ms=None)]
    assert measured_rate(rows + small * 20) == pytest.approx(270_000)
    slowly_encoded = [answer(100, encode_ms=6_000.0) for _ in range(ENOUGH_ANSWERS)]
    assert measured_rate(slowly_encoded) == pytest.approx(400_000)
    assert measured_rate([answer(100, encode_ms=9_000.0)] * 30) is None
