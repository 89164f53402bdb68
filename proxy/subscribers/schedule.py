"""When a subscriber's pictures are made smaller: always, at times of the week, or while the link is congested.

In: text such as `always`, `congested`, `mon-fri 18:00-23:00, congested`; a time, and whether the link is congested.
Out: whether the schedule is open then. Refuses: text that is not written like that (`ScheduleError`).

A window that ends before it begins goes on after midnight and belongs to the day on which it began; one that begins and
ends at the same minute is a whole day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_WINDOWS = 16
_DAY_MINUTES = 24 * 60
_WINDOW = re.compile(r"(daily|[a-z]{3}(?:-[a-z]{3})?) (\d\d):(\d\d)-(\d\d):(\d\d)\Z")
_HOW = "write always, congested, or days and times such as mon-fri 18:00-23:00, several with commas between"


class ScheduleError(ValueError):
    """The text is no schedule; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the week: `days` (0: Monday), from `start` to `end` in minutes after midnight."""

    days: frozenset[int]
    start: int
    end: int

    def holds(self, day: int, minute: int) -> bool:
        """Whether a minute of a weekday is in it."""
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        yesterday = (day - 1) % len(DAYS)
        return (day in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Open in any of its windows, and while the link is congested if `congested`. `text` is how it was written."""

    text: str
    windows: tuple[Window, ...] = ()
    congested: bool = False
    always: bool = False

    def is_open(self, now: datetime, congested: bool) -> bool:
        """Whether it is open at `now`, a time of the operator's zone."""
        if self.always or (self.congested and congested):
            return True
        minute = now.hour * 60 + now.minute
        return any(window.holds(now.weekday(), minute) for window in self.windows)


ALWAYS = Schedule("always", always=True)


def parse_schedule(text: str) -> Schedule:
    """The schedule that `text` writes. Raises ScheduleError."""
    parts = [" ".join(part.lower().split()) for part in text.split(",")]
    if len(parts) > MAX_WINDOWS:
        raise ScheduleError(f"a schedule has at most {MAX_WINDOWS} parts")
    if "always" in parts:
        if len(parts) > 1:
            raise ScheduleError(f"always says it all, so nothing can be added to it; {_HOW}")
        return ALWAYS
    windows = tuple(_window(part) for part in parts if part != "congested")
    return Schedule(", ".join(parts), windows, "congested" in parts)


def _window(text: str) -> Window:
    found = _WINDOW.match(text)
    if found is None:
        raise ScheduleError(f"{text!r} is no schedule; {_HOW}")
    hours = [int(number) for number in found.groups()[1:]]
    start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if hours[1] > 59 or hours[3] > 59 or start >= _DAY_MINUTES or end > _DAY_MINUTES:
        raise ScheduleError(f"{text!r}: times go from 00:00 to 24:00")
    return Window(_days(found[1], text), start, end)


def _days(named: str, text: str) -> frozenset[int]:
    if named == "daily":
        return frozenset(range(len(DAYS)))
    first, _, last = named.partition("-")
    if first not in DAYS or (last or first) not in DAYS:
        raise ScheduleError(f"{text!r}: days are {', '.join(DAYS)}, mon-fri, or daily")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    return frozenset((begin + step) % len(DAYS) for step in range((end - begin) % len(DAYS) + 1))
