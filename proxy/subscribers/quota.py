"""How much of a quota is used, and until when.

In: what was used by day, a time of the operator's zone. Out: bytes of the day and the month, and whether a quota is
used up. Refuses: nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from proxy.subscribers.account import Quota


@dataclass(frozen=True, slots=True)
class Used:
    """Bytes over the link in this day and month."""

    day_bytes: int = 0
    month_bytes: int = 0


@dataclass(frozen=True, slots=True)
class UsedUp:
    """A quota is used up; `again` is when there is a new one."""

    period: str
    again: datetime


def day_of(now: datetime) -> str:
    """The day, as use is kept: 2026-11-22."""
    return now.strftime("%Y-%m-%d")


def used(by_day: Mapping[str, int], now: datetime) -> Used:
    """What was used in the day and month of `now`."""
    day, month = day_of(now), now.strftime("%Y-%m-")
    return Used(by_day.get(day, 0), sum(count for each, count in by_day.items() if each.startswith(month)))


def used_up(quota: Quota, spent: Used, now: datetime) -> UsedUp | None:
    """What is used up, the longer period first; None while there is something left."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if quota.month_bytes and spent.month_bytes >= quota.month_bytes:
        return UsedUp("month", (midnight.replace(day=1) + timedelta(days=32)).replace(day=1))
    if quota.day_bytes and spent.day_bytes >= quota.day_bytes:
        return UsedUp("day", midnight + timedelta(days=1))
    return None
