"""Numbers as people read them.

In: bytes, seconds, fractions, money. Out: short texts. Refuses nothing; what is not known is a dash.
"""

from __future__ import annotations

import time

DASH = "–"
_SPANS = (("d", 86_400), ("h", 3_600), ("min", 60))


def size(count: int) -> str:
    """Bytes as people read them, in powers of 1,000."""
    units, value = ["B", "kB", "MB", "GB", "TB"], float(count)
    while abs(value) >= 999.5 and len(units) > 1:
        value /= 1_000
        units.pop(0)
    return f"{value:,.0f} {units[0]}" if units[0] == "B" or abs(value) >= 99.95 else f"{value:,.1f} {units[0]}"


def percent(value: float | None) -> str:
    """A percentage, or a dash when there is nothing to compare with."""
    return DASH if value is None else f"{value:.1f} %"


def share(part: float, whole: float) -> float | None:
    """`part` in percent of `whole`; None of nothing."""
    return 100.0 * part / whole if whole else None


def duration(seconds: float) -> str:
    """A time in its two largest units: 2 h 5 min, 40 s, 1.2 s."""
    sign, left = ("-" if seconds < 0 else ""), abs(seconds)
    if left < 9.95:
        return f"{sign}{left:.1f} s"
    if left < 59.5:
        return f"{sign}{left:.0f} s"
    for (unit, length_s), (below, part_s) in zip(_SPANS, (*_SPANS[1:], ("s", 1)), strict=True):
        if left >= length_s - part_s / 2:
            parts = round(left / part_s)
            many, few = divmod(parts, length_s // part_s)
            return f"{sign}{many:,} {unit}" + (f" {few} {below}" if few else "")
    return f"{sign}{left:.0f} s"


def milliseconds(value: float) -> str:
    """A stage's time: 3.4 ms, 340 ms, 3.4 s."""
    if value < 9.95:
        return f"{value:.1f} ms"
    return f"{value:,.0f} ms" if value < 9_950 else f"{value / 1000:,.1f} s"


def rate(bits_s: float) -> str:
    """A link's rate."""
    if bits_s < 999_500:
        return f"{bits_s / 1000:,.0f} kbit/s"
    return f"{bits_s / 1e6:,.1f} Mbit/s" if bits_s < 99_950_000 else f"{bits_s / 1e6:,.0f} Mbit/s"


def money(amount: float, currency: str) -> str:
    """An amount; small ones with enough digits to be told from nothing."""
    digits = 2 if abs(amount) >= 0.095 or abs(amount) < 0.00005 else 4
    return f"{amount:,.{digits}f} {currency}".strip()


def moment(at_s: float | None) -> str:
    """A time in UTC, to the minute."""
    return DASH if at_s is None else time.strftime("%Y-%m-%d %H:%M", time.gmtime(at_s))
