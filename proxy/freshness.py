"""How long an answer stays fresh, and which rewritten images a client may go on showing without asking anew.

In: an origin's response headers, a client's revalidation. Out: seconds of freshness; whether to say "not modified".
Refuses: `no-store`, `no-cache`, `Vary: *`, reloads, and other values of the fields that `Vary` names.

Browsers get reconstructions as `private, no-cache`, so they ask each time; while the origin's own freshness lasts, the
downstream proxy answers from this table and nothing crosses the link.

Source: RFC 9111, sections 4.1 to 4.3. Shared-cache directives (s-maxage) do not apply: an entry serves one client.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from proxy.etag import opaque, split
from proxy.headers import Headers

_HEURISTIC_SHARE = 0.1
_HEURISTIC_MAX_S = 86_400.0
_MAX_S = 31_536_000.0


def lifetime_s(headers: Headers, now_s: float) -> float:
    """Seconds for which an answer received at `now_s` (Unix time) is still fresh; 0 when it must be revalidated."""
    control = headers.directives("cache-control")
    if "no-store" in control or "no-cache" in control or "*" in headers.tokens("vary"):
        return 0.0
    if "no-cache" in headers.tokens("pragma") and not control:
        return 0.0
    date_s = _date(headers.get("date")) or now_s
    age_s = float(headers.number("age") or 0)
    age_s = max(age_s, now_s - date_s)
    if "max-age" in control:
        total_s = float(control["max-age"]) if control["max-age"].isdigit() else 0.0
    elif "expires" in headers:
        total_s = (_date(headers.get("expires")) or 0.0) - date_s
    else:
        modified_s = _date(headers.get("last-modified"))
        total_s = min((date_s - modified_s) * _HEURISTIC_SHARE, _HEURISTIC_MAX_S) if modified_s else 0.0
    return min(max(total_s - age_s, 0.0), _MAX_S)


@dataclass(frozen=True, slots=True)
class _Shown:
    tag: str
    fresh_until_s: float
    varies_by: tuple[tuple[str, str | None], ...]


class Revalidations:
    """The tags of the rewritten images that clients hold, by an opaque key; bounded, oldest out first."""

    def __init__(self, max_entries: int = 20_000) -> None:
        self._max_entries = max_entries
        self._shown: OrderedDict[bytes, _Shown] = OrderedDict()

    def remember(self, key: bytes, tag: str, origin: Headers, request: Headers, now_s: float) -> None:
        """A client got the image `tag`, made from an answer with the headers `origin`. Times are Unix times."""
        self._shown.pop(key, None)
        fresh_s = lifetime_s(origin, now_s)
        if fresh_s <= 0:
            return
        varies_by = tuple((name, request.get(name)) for name in origin.tokens("vary"))
        self._shown[key] = _Shown(tag, now_s + fresh_s, varies_by)
        while len(self._shown) > self._max_entries:
            self._shown.popitem(last=False)

    def still_fresh(self, key: bytes, request: Headers, now_s: float) -> str | None:
        """The tag to confirm with a 304, or None when the origin must be asked."""
        shown = self._shown.get(key)
        if shown is None:
            return None
        if now_s >= shown.fresh_until_s:
            del self._shown[key]
            return None
        control = request.directives("cache-control")
        if "no-cache" in control or "no-store" in control or control.get("max-age") == "0" or "pragma" in request:
            return None
        if opaque(shown.tag) not in [opaque(tag) for tag in split(request.get("if-none-match"))]:
            return None
        same = all(request.get(name) == value for name, value in shown.varies_by)
        return shown.tag if same else None


def _date(value: str | None) -> float | None:
    """An HTTP date as Unix time; None for what is none."""
    try:
        return parsedate_to_datetime(value).timestamp() if value else None
    except (ValueError, TypeError, OverflowError):
        return None
