"""Byte ranges of a body that is at hand in full (RFC 9110, section 14).

In: a Range value and the body's size. Out: the one range it asks for. Refuses: several ranges and other units (`None`:
answer with the whole body, as the standard allows), and ranges past the end (`Unsatisfiable`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """The range starts behind the end: the answer is a 416."""


def parse_range(value: str, size_bytes: int) -> Span | Unsatisfiable | None:
    """The range that `value` asks of a body of `size_bytes`, or None for the whole body."""
    match = _ONE_RANGE.match(value.strip())
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last), size_bytes)
        return Span(size_bytes - length, size_bytes - 1) if length else Unsatisfiable()
    if last and int(last) < int(first):
        return None
    if int(first) >= size_bytes:
        return Unsatisfiable()
    return Span(int(first), min(int(last), size_bytes - 1) if last else size_bytes - 1)
