"""One stored answer: its head, what it was asked with, and when; written as JSON and read back with suspicion.

In: the heads of an exchange; text that a disk gives back. Out: `Stored`, text. Refuses: text that is not exactly what
`dump` writes (`ValueError`).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from proxy.headers import Headers

MAX_TEXT_CHARS = 512 * 1024
# section 3.1: what concerns one connection, or the proxy that was asked, is not stored
_ONE_HOP = frozenset(
    (
        "age",  # kept apart, in `age_s`
        "connection",
        "content-length",  # the body's size is known
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "sketchwire-link-bytes",  # what that one transfer weighed
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer's head as it is kept. Times are Unix times, in seconds.

    `age_s` is the Age it came with; `nominated` are the request's fields that the answer depends on, with their
    normalised values (`vary`); `has_query` tells of the address, which itself is not kept.
    """

    status: int
    headers: Headers
    nominated: tuple[tuple[str, str], ...]
    requested_s: float
    received_s: float
    age_s: int
    has_query: bool


def kept_headers(headers: Headers) -> Headers:
    """An answer's fields without those that are not stored."""
    return headers.without(_ONE_HOP | set(headers.tokens("connection")))


def dump(stored: Stored) -> str:
    """`stored` as text."""
    return json.dumps(
        [
            stored.status,
            stored.headers.fields,
            stored.nominated,
            stored.requested_s,
            stored.received_s,
            stored.age_s,
            stored.has_query,
        ],
        separators=(",", ":"),
    )


def load(text: str) -> Stored:
    """What `dump` wrote. Raises ValueError."""
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS:
        raise ValueError("no entry")
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("no entry") from error
    if not isinstance(found, list) or len(found) != 7:
        raise ValueError("no entry")
    status, fields, nominated, requested_s, received_s, age_s, has_query = found
    if type(status) is not int or not 200 <= status <= 599 or type(age_s) is not int or age_s < 0:
        raise ValueError("no entry")
    if type(has_query) is not bool:
        raise ValueError("no entry")
    headers = Headers(_pairs(fields))
    return Stored(status, headers, _pairs(nominated), _time(requested_s), _time(received_s), age_s, has_query)


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list):
        raise ValueError("no fields")
    pairs: list[tuple[str, str]] = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise ValueError("no field")
        name, text = pair
        if not name or any(mark in part for part in pair for mark in "\r\n\0"):
            raise ValueError("no field")
        pairs.append((name, text))
    return tuple(pairs)


def _time(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError("no time")
    return float(value)
