"""Decides whether an answer may be kept, and for whom.

In: the heads of an exchange; whether the cache serves several people. Out: `Keep(personal)` or `Leave(why)`. Refuses
what RFC 9111, section 3, refuses, and more: answers that set cookies, answers to a request that no browser sends (in a
cache for several people), and what could never be used again.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.cache.control import Control, read_control
from proxy.cache.entry import Stored, kept_headers
from proxy.cache.lifetime import HEURISTIC_STATUSES, freshness_s
from proxy.cache.validation import validators
from proxy.cache.vary import nominated
from proxy.headers import Headers

# section 3: final statuses that are understood here; 206 is not, for parts are not combined (section 3.3)
STATUSES = frozenset((200, 203, 300, 301, 302, 307, 308, 404, 405, 410, 414, 501))
PERSONAL_FIELDS = frozenset(("cookie", "authorization"))
MAX_HEAD_BYTES = 64 * 1024
# An origin may show what other fields say, and one person could so put a page in front of another (web cache
# poisoning); an answer to a request with other fields than browsers send is not kept for several people.
_OF_BROWSERS = frozenset(
    (
        "accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "cdn-loop", "connection",
        "cookie", "dnt", "downlink", "ect", "host", "if-modified-since", "if-none-match", "keep-alive", "origin",
        "pragma", "priority", "purpose", "referer", "rtt", "save-data", "te", "upgrade-insecure-requests",
        "user-agent",
    )
)  # fmt: skip
_BROWSER_PREFIXES = ("sec-", "sketchwire-")


@dataclass(frozen=True, slots=True)
class Keep:
    """May be stored; `personal` for those alone who send the same Cookie and Authorization."""

    stored: Stored
    personal: bool


@dataclass(frozen=True, slots=True)
class Leave:
    """Is not stored; `why` is for the log and for tests."""

    why: str


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The two heads of an exchange and its times (Unix)."""

    method: str
    request: Headers
    status: int
    answer: Headers
    requested_s: float
    received_s: float
    has_query: bool


def judge_store(exchanged: Exchanged, shared: bool) -> Keep | Leave:
    """Whether the answer may be stored in a cache that is `shared` between people, or one person's own."""
    request, answer = exchanged.request, exchanged.answer
    asked, control = read_control(request), read_control(answer)
    if exchanged.method != "GET":
        return Leave("method")
    if exchanged.status not in STATUSES:
        return Leave("status")
    if "range" in request or "content-range" in answer:
        return Leave("part")
    if "no-store" in control or "no-store" in asked:
        return Leave("no-store")
    if "set-cookie" in answer:
        return Leave("sets a cookie")
    if answer.size_bytes() > MAX_HEAD_BYTES:
        return Leave("head too large")
    personal = _is_personal(request, answer, control)
    if shared and personal:
        return Leave("private")
    if shared and not all(_is_of_browsers(name) for name, _ in request):
        return Leave("a field that browsers do not send")
    pairs = nominated(request, answer)
    if pairs is None:
        return Leave("vary")
    explicit = any(name in control for name in ("max-age", "s-maxage", "public", "private")) or "expires" in answer
    if not explicit and exchanged.status not in HEURISTIC_STATUSES:
        return Leave("status without freshness")
    stored = Stored(
        exchanged.status,
        kept_headers(answer),
        pairs,
        exchanged.requested_s,
        exchanged.received_s,
        answer.number("age") or 0,
        exchanged.has_query,
    )
    stands_in = any(name in control for name in ("stale-if-error", "stale-while-revalidate"))
    if freshness_s(stored, shared) <= 0 and not validators(stored) and not stands_in:
        return Leave("never fresh, and nothing to validate it with")
    return Keep(stored, personal)


def _is_personal(request: Headers, answer: Headers, control: Control) -> bool:
    """Section 3, items on private and Authorization (3.5), and on cookies what origins forget to say.

    Stricter than the section: an authorised answer is personal even if it says that it is public, and an answer to a
    request with cookies unless it says so. Avatars and captchas have lifetimes and forget `Vary: Cookie`.
    """
    if "private" in control or "authorization" in request:
        return True
    if not PERSONAL_FIELDS.isdisjoint(answer.tokens("vary")):
        return True
    return "cookie" in request and "public" not in control and "s-maxage" not in control


def _is_of_browsers(name: str) -> bool:
    return name.lower() in _OF_BROWSERS or name.lower().startswith(_BROWSER_PREFIXES)
