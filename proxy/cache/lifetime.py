"""How long an answer is fresh, how old it is, and whether it may be used as it is, stale, or not at all.

In: stored heads, a request's directives, the time. Out: `Fresh` or `Stale` with what is allowed of it. Refuses: to
believe in an age when the clock was set back behind the moment the answer came (it must be validated).

Source: RFC 9111, sections 4.2 (freshness, age), 4.2.4 (stale answers), 5.2.1 (what requests may demand); RFC 5861
(stale-while-revalidate, stale-if-error).
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.cache.control import MAX_SECONDS, Control, read_control, read_date
from proxy.cache.entry import Stored
from proxy.cache.vary import DOCUMENT_TYPES

HEURISTIC_SHARE = 0.1
HEURISTIC_MAX_S = 86_400.0
# RFC 9110, section 15.1
HEURISTIC_STATUSES = frozenset((200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501))


@dataclass(frozen=True, slots=True)
class Fresh:
    """May be used as it is; `age_s` is what to say in Age."""

    age_s: float


@dataclass(frozen=True, slots=True)
class Stale:
    """Must be validated, but may be used `while_revalidate`, or `if_error`, or `if_unreachable` (section 4.2.4).

    `age_s` is None when it cannot be known.
    """

    age_s: float | None
    while_revalidate: bool = False
    if_error: bool = False
    if_unreachable: bool = False


def freshness_s(stored: Stored, shared: bool) -> float:
    """Seconds for which an answer is fresh, from the origin's moment on (section 4.2.1)."""
    control = read_control(stored.headers)
    if shared and "s-maxage" in control:
        return float(control.seconds("s-maxage") or 0)
    if "max-age" in control:
        return float(control.seconds("max-age") or 0)
    date_s = read_date(stored.headers.get("date"))
    if "expires" in stored.headers:
        expires_s = read_date(stored.headers.get("expires"))  # section 5.3: an invalid date is in the past
        begin_s = date_s if date_s is not None else stored.received_s
        return min(max(expires_s - begin_s, 0.0), float(MAX_SECONDS)) if expires_s is not None else 0.0
    return _heuristic_s(stored, control, date_s)


def _heuristic_s(stored: Stored, control: Control, date_s: float | None) -> float:
    """Section 4.2.2. Not for addresses with a query, nor for documents: being wrong there is seen at once."""
    allowed = stored.status in HEURISTIC_STATUSES or "public" in control
    legacy = "no-cache" in stored.headers.tokens("pragma")
    if not allowed or legacy or stored.has_query or stored.headers.media_type() in DOCUMENT_TYPES:
        return 0.0
    modified_s = read_date(stored.headers.get("last-modified"))
    if modified_s is None:
        return 0.0
    begin_s = date_s if date_s is not None else stored.received_s
    return min(max(begin_s - modified_s, 0.0) * HEURISTIC_SHARE, HEURISTIC_MAX_S)


def age_s(stored: Stored, now_s: float) -> float | None:
    """The answer's age (section 4.2.3); None when the clock stands before the moment it came."""
    if now_s < stored.received_s:
        return None
    date_s = read_date(stored.headers.get("date"))
    apparent_s = max(0.0, stored.received_s - date_s) if date_s is not None else 0.0
    delay_s = max(0.0, stored.received_s - stored.requested_s)
    initial_s = max(apparent_s, stored.age_s + delay_s)
    return initial_s + (now_s - stored.received_s)


def may_be_stale(control: Control, shared: bool) -> bool:
    """Whether the answer's directives let anyone use it stale at all (sections 4.2.4, 5.2.2)."""
    forbidden = {"no-cache", "must-revalidate"} | ({"proxy-revalidate", "s-maxage"} if shared else set())
    return not any(name in control for name in forbidden)


def judge(stored: Stored, asked: Control, now_s: float, shared: bool, unreachable_s: float = 0.0) -> Fresh | Stale:
    """Whether a stored answer may be used for a request with the directives `asked`.

    `unreachable_s` is how long past its freshness an answer may be used when nobody can be reached.
    """
    age = age_s(stored, now_s)
    if age is None:
        return Stale(None)
    control = read_control(stored.headers)
    staleness_s = age - freshness_s(stored, shared)
    tolerant = may_be_stale(control, shared)
    if "no-cache" not in control and _satisfies(asked, age, staleness_s, tolerant):
        return Fresh(age)
    if not tolerant:
        return Stale(age)
    demanding = any(name in asked for name in ("max-age", "min-fresh", "no-cache"))
    window_s = control.seconds("stale-while-revalidate") or 0
    grace_s = max(control.seconds("stale-if-error") or 0, asked.seconds("stale-if-error") or 0)
    return Stale(
        age,
        while_revalidate=not demanding and 0 <= staleness_s < window_s,
        if_error=staleness_s < grace_s,
        if_unreachable=staleness_s < max(grace_s, unreachable_s),
    )


def _satisfies(asked: Control, age: float, staleness_s: float, tolerant: bool) -> bool:
    """Section 5.2.1: max-age, min-fresh and max-stale of a request."""
    if "no-cache" in asked:
        return False
    limit_s = asked.seconds("max-age")
    if limit_s is not None and age >= limit_s:  # max-age=0 asks for validation, whatever the clock's grain
        return False
    if staleness_s >= 0:
        if not tolerant or "max-stale" not in asked:
            return False
        unlimited = all(argument is None for argument in asked.directives["max-stale"])
        return unlimited or staleness_s <= (asked.seconds("max-stale") or 0)
    return -staleness_s >= (asked.seconds("min-fresh") or 0)
