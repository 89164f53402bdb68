"""Cache-Control, and the dates beside it, read as a cache must read what strangers write.

In: header fields. Out: directives with their arguments; Unix times. Refuses nothing: what cannot be read counts as the
stricter reading (a number that is none is 0, a field that is too long says no-store).

Source: RFC 9111, section 5.2 (Cache-Control), section 4.2.1 (two values for one directive); RFC 9110, section 5.6.7
(dates).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime

from proxy.headers import Headers

MAX_CHARS = 4096
MAX_SECONDS = 2**31  # section 1.2.2: a larger number means this one
_MAX_DATE_CHARS = 64
_DIRECTIVE = re.compile(
    r"[\s,]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,;\"]*)))?[^,]*", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Control:
    """The directives of one message: name in lower case → arguments, None for a directive without."""

    directives: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.directives

    def __bool__(self) -> bool:
        return bool(self.directives)

    def seconds(self, name: str) -> int | None:
        """The directive's number of seconds, the smallest if there are several; None without the directive."""
        found = self.directives.get(name)
        if found is None:
            return None
        return min(_seconds(argument) for argument in found)


def read_control(headers: Headers) -> Control:
    """The Cache-Control of a message."""
    text = ",".join(headers.get_all("cache-control"))
    if len(text) > MAX_CHARS:
        return Control({"no-store": (None,), "no-cache": (None,)})
    found: dict[str, tuple[str | None, ...]] = {}
    for match in _DIRECTIVE.finditer(text):
        name, quoted, plain = match.groups()
        argument = quoted if quoted is not None else plain
        found[name.lower()] = (*found.get(name.lower(), ()), argument)
    return Control(found)


def read_date(value: str | None) -> float | None:
    """An HTTP date as Unix time; None for what is none. Dates without a zone are in UTC, as in all three formats."""
    if not value or len(value) > _MAX_DATE_CHARS:
        return None
    try:
        date = parsedate_to_datetime(value)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _seconds(argument: str | None) -> int:
    text = (argument or "").strip()
    if not (text.isascii() and text.isdigit()):
        return 0
    return MAX_SECONDS if len(text) > 10 else min(int(text), MAX_SECONDS)
