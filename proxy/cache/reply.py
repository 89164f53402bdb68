"""The answer to a request from what is stored: whole, in part, a head alone, or "not modified".

In: a stored head, the body's size, the request. Out: status, fields and the part of the body to send. Refuses: several
ranges (the whole is sent), and parts under a condition that does not hold.

Source: RFC 9111, sections 4 and 4.3.2; RFC 9110, sections 13 (preconditions), 14 (ranges), 15.4.5 (304).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from proxy.cache.control import read_date
from proxy.cache.entry import Stored
from proxy.cache.validation import is_confirmed
from proxy.headers import Headers
from proxy.ranges import Span, Unsatisfiable, parse_range

_OF_304 = frozenset(("cache-control", "content-location", "date", "etag", "expires", "last-modified", "vary", "via"))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer made from the store; of the body, bytes `first` up to and without `end` are sent."""

    status: int
    headers: Headers
    first: int
    end: int


def reply(stored: Stored, size_bytes: int, method: str, request: Headers, age_s: float | None) -> Reply:
    """The answer to GET or HEAD. An unknown age is told as the largest there is (section 5.1 wants one)."""
    age = ("Age", str(2**31 if age_s is None else min(math.floor(max(age_s, 0.0)), 2**31)))
    if stored.status == 200 and is_confirmed(stored, request):
        return Reply(304, stored.headers.only(_OF_304).adding(age), 0, 0)
    headers = stored.headers.adding(age)
    if method == "HEAD":
        return Reply(stored.status, headers.adding(("Content-Length", str(size_bytes))), 0, 0)
    wanted = request.get("range")
    if wanted is not None and stored.status == 200 and _range_holds(stored, request):
        span = parse_range(wanted, size_bytes)
        if isinstance(span, Unsatisfiable):
            told = (("Content-Range", f"bytes */{size_bytes}"), ("Content-Length", "0"))
            return Reply(416, stored.headers.only(frozenset(("date",))).adding(*told), 0, 0)
        if isinstance(span, Span):
            length = span.last - span.first + 1
            told = (
                ("Content-Range", f"bytes {span.first}-{span.last}/{size_bytes}"),
                ("Content-Length", str(length)),
            )
            return Reply(206, headers.adding(*told), span.first, span.last + 1)
    return Reply(stored.status, headers.adding(("Content-Length", str(size_bytes))), 0, size_bytes)


def _range_holds(stored: Stored, request: Headers) -> bool:
    """Whether If-Range, if there, names what is stored; only strong validators do (RFC 9110, section 13.1.5)."""
    named = request.get("if-range")
    if named is None:
        return True
    if named.startswith(('"', "W/")):
        return not named.startswith("W/") and named == stored.headers.get("etag")
    since_s, modified = read_date(named), stored.headers.get("last-modified")
    date_s, modified_s = read_date(stored.headers.get("date")), read_date(modified)
    strong = date_s is not None and modified_s is not None and date_s - modified_s >= 1.0  # section 8.8.2.2
    return strong and since_s is not None and since_s == modified_s
