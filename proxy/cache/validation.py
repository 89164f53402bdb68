"""Validation: the questions a cache asks about what it holds, and what it makes of the answers.

In: stored heads, requests, 304 answers. Out: fields to add to a request; heads brought up to date; whether what a
client holds is still right. Refuses: validators that are malformed.

Source: RFC 9111, sections 3.2 (updating), 4.3 (validation); RFC 9110, section 13 (preconditions).
"""

from __future__ import annotations

from dataclasses import replace

from proxy import etag
from proxy.cache.control import read_date
from proxy.cache.entry import Stored, kept_headers
from proxy.headers import Headers

# a request with one of these asks for something else than what the address names, or only under a condition
CONDITIONS = ("if-none-match", "if-modified-since")
HARD_CONDITIONS = ("if-match", "if-unmodified-since")
# section 3.2: fields of a 304 that say nothing about the stored body
_NOT_UPDATED = frozenset(
    ("content-encoding", "content-length", "content-range", "content-type", "etag", "set-cookie", "vary")
)


def validators(stored: Stored) -> tuple[tuple[str, str], ...]:
    """What to add to a request so that the answer may be "not modified" (section 4.3.1); () if nothing can."""
    tag = stored.headers.get("etag")
    if tag is not None and etag.split(tag) == [tag] and tag != "*":
        return (("If-None-Match", tag),)
    modified = stored.headers.get("last-modified")
    return (("If-Modified-Since", modified),) if modified is not None and read_date(modified) is not None else ()


def is_confirmed(stored: Stored, request: Headers) -> bool:
    """Whether what the client says it holds is what is stored (section 4.3.2)."""
    if "if-none-match" in request:  # RFC 9110, section 13.1.2: then If-Modified-Since does not count
        held = etag.split(", ".join(request.get_all("if-none-match")))
        tag = stored.headers.get("etag")
        return "*" in held or (tag is not None and etag.opaque(tag) in [etag.opaque(each) for each in held])
    since_s = read_date(request.get("if-modified-since"))
    modified_s = read_date(stored.headers.get("last-modified"))
    return since_s is not None and modified_s is not None and modified_s <= since_s


def confirms(answer: Headers, stored: Stored) -> bool:
    """Whether a 304 to a client's own question tells about what is stored (section 4.3.4)."""
    tag, held = answer.get("etag"), stored.headers.get("etag")
    if tag is not None or held is not None:
        return tag is not None and held is not None and etag.opaque(tag) == etag.opaque(held)
    modified = answer.get("last-modified")
    return modified is not None and modified == stored.headers.get("last-modified")


def freshened(stored: Stored, answer: Headers, requested_s: float, received_s: float) -> Stored:
    """What is stored, with the fields that a 304 brought (section 3.2)."""
    new = kept_headers(answer).without(_NOT_UPDATED)
    replaced = {name.lower() for name, _ in new}
    return replace(
        stored,
        headers=stored.headers.without(replaced).adding(*new),
        requested_s=requested_s,
        received_s=received_s,
        age_s=answer.number("age") or 0,
    )
