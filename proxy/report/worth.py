"""What the saved bytes are worth on this link: time and money.

In: sums, rows, a link's rate and prices as configured. Out: `Worth`. Refuses to guess: without a rate there is no time,
without a price there is no money.

The rate, where none is configured, is read from large answers: the 90th percentile of their bits per second. Waiting
for the origin is part of an answer's time, so single answers make the link look slower than it is; a high percentile
keeps the time saved on the low side.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from proxy.config import ReportConfig
from proxy.ledger.answers import Group, Totals
from proxy.ledger.row import Row

LARGE_BYTES = 30_000
ENOUGH_ANSWERS = 20
RATE_PERCENTILE = 90
DRAWN = ("reconstructed",)
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Worth:
    """None where it is not known. `net_money` is what the bytes would have cost less what drawing and running cost."""

    rate_bits_s: float | None = None
    rate_measured: bool = False
    time_s: float | None = None
    currency: str = ""
    bytes_money: float | None = None
    drawing_money: float = 0.0
    running_money: float = 0.0

    @property
    def net_money(self) -> float | None:
        return None if self.bytes_money is None else self.bytes_money - self.drawing_money - self.running_money


def worth(
    totals: Totals, by_decision: Iterable[Group], config: ReportConfig, period_s: float, measured_bits_s: float | None,
    *, running: bool = True,
) -> Worth:  # fmt: skip
    """What `totals` saved within `period_s`. Running costs are left out unless `running` (they are the operator's, not
    one subscriber's)."""
    rate = config.link_kbit_s * 1000 or measured_bits_s
    drawn = sum(group.totals.responses - group.totals.cache_hits for group in by_decision if group.key[0] in DRAWN)
    return Worth(
        rate_bits_s=rate,
        rate_measured=not config.link_kbit_s and rate is not None,
        time_s=totals.saved_bytes * 8 / rate if rate else None,
        currency=config.currency,
        bytes_money=totals.saved_bytes / 1e6 * config.price_per_mb if config.price_per_mb else None,
        drawing_money=drawn / 1000 * config.drawing_price,
        running_money=period_s / DAY_S * config.daily_price if running else 0.0,
    )


def measured_rate(rows: Iterable[Row]) -> float | None:
    """Bits per second towards the user, read from large answers; None from fewer than twenty."""
    rates = sorted(rate for rate in map(_rate, rows) if rate is not None)
    if len(rates) < ENOUGH_ANSWERS:
        return None
    return rates[math.ceil(len(rates) * RATE_PERCENTILE / 100) - 1]


def _rate(row: Row) -> float | None:
    down_bytes = row.link_bytes - row.link_up_bytes
    if row.link_ms is None or down_bytes < LARGE_BYTES or row.refetch_bytes:
        return None
    spent_ms = row.link_ms - (row.encode_ms or 0.0)
    return down_bytes * 8 / (spent_ms / 1000) if spent_ms > 0 else None
