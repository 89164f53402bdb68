"""Secondary keys: which of a request's fields an answer depends on, and whether another request has the same.

In: heads. Out: (name, normalised value) pairs to store with an answer; whether they match. Refuses: answers that depend
on more than fields can tell (`Vary: *`), or on too many of them (None).

Source: RFC 9111, section 4.1. Many origins choose by Accept, Accept-Encoding or Origin and forget to say so; in front
of one browser that does no harm, in a cache for several it would. So these fields always count, for documents those
that languages and layouts are chosen by, and for answers that do not say they are for everybody, Cookie.
"""

from __future__ import annotations

from hashlib import blake2b

from proxy.cache.control import read_control
from proxy.headers import Headers
from proxy.negotiation import PREFIX, WORDS

MAX_NAMES = 24
SECRET = frozenset(("cookie", "authorization"))  # kept as digests
_ALWAYS = ("accept", "accept-encoding", "origin")
_DOCUMENTS = ("accept-language", "user-agent")
DOCUMENT_TYPES = frozenset(("", "text/html", "application/xhtml+xml", "application/json", "text/plain"))


def nominated(request: Headers, answer: Headers) -> tuple[tuple[str, str], ...] | None:
    """The fields that choose this answer, with their values in `request`; None if no field list can choose it."""
    named = answer.tokens("vary")
    if "*" in named:
        return None
    control = read_control(answer)
    for_all = "public" in control or "s-maxage" in control
    implied: tuple[str, ...] = _ALWAYS if for_all else (*_ALWAYS, "cookie")
    if answer.media_type() in DOCUMENT_TYPES:
        implied = (*implied, *_DOCUMENTS)
    made = any(name.startswith(PREFIX) for name in named)  # what upstream made also depends on the page's words
    names = sorted({*named, *implied, *((WORDS.lower(),) if made else ())})
    if len(names) > MAX_NAMES:
        return None
    return tuple((name, _normal(request, name)) for name in names)


def matches(pairs: tuple[tuple[str, str], ...], request: Headers) -> bool:
    """Whether `request` has the same values in the nominated fields."""
    return all(_normal(request, name) == value for name, value in pairs)


def _normal(request: Headers, name: str) -> str:
    """Several fields as one list, with the same white space; absent and empty differ."""
    values = request.get_all(name)
    if not values:
        return "-"
    text = ",".join(" ".join(part.split()) for value in values for part in value.split(","))
    if name not in SECRET:
        return "+" + text
    return "#" + blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
