"""Which bodies cross the link as recoded text, and what that changes in an answer's head.

In: a request and an answer's head; the first bytes of its body. Out: `Recode` or `Leave(reason)`; the head for the
link, and at the near end the head for the browser. Refuses: to recode what is small, signed, partial, marked
`no-transform`, in a coding that we do not read, or does not compress.

The browser gets the plain bytes: it is on the near end's machine or network. They are the bytes that it would have
decoded, so integrity attributes hold. Where the site's answer was coded, a strong entity tag becomes weak, for it named
other bytes (RFC 9110, section 8.8.1).
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from enum import StrEnum

from proxy.link import coding, heads
from proxy.link.heads import Ask

Headers = list[tuple[bytes, bytes]]
CODED = b"~z"  # on the link: 1 with the dictionary, 0 without
LENGTH = b"~l"  # on the link: how long the site's body is, as it sent it
MIN_BYTES = 200
SAMPLE_BYTES = 4096
COMPRESSES_TO = 0.95
_TYPES = frozenset(
    (
        b"application/ecmascript",
        b"application/javascript",
        b"application/json",
        b"application/manifest+json",
        b"application/rtf",
        b"application/x-javascript",
        b"application/x-ndjson",
        b"application/xml",
        b"image/svg+xml",
    )
)
_SIGNED = frozenset((b"content-digest", b"digest", b"content-md5", b"signature", b"signature-input"))

_NO_IDENTITY = re.compile(rb"(?:identity|\*)\s*;\s*q=0(?:\.0{0,3})?\s*(?:,|$)")


class Reason(StrEnum):
    """Why a body crosses as it is."""

    STATUS = "status"
    TYPE = "type"
    SMALL = "small"
    CODING = "coding"
    NO_TRANSFORM = "no-transform"
    SIGNED = "signed"
    SCRIPT_COMPARES = "a script may send the strong tag back"
    IDENTITY_REFUSED = "the browser does not take plain bytes"


@dataclass(frozen=True, slots=True)
class Leave:
    """The body crosses as it is."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Recode:
    """The body crosses as text; `coding` is the site's (b"" for none), `length_bytes` what its head says."""

    coding: bytes
    length_bytes: int | None


def decide(ask: Ask, status: int, headers: Headers) -> Recode | Leave:
    """What becomes of an answer's body."""
    field = {name: value for name, value in headers}
    media_type = field.get(b"content-type", b"").partition(b";")[0].strip().lower()
    site_coding = _one_coding(headers)
    length = int(field[b"content-length"]) if field.get(b"content-length", b"").isdigit() else None
    if status in (204, 206, 304) or status < 200 or b"content-range" in field or ask.method == b"HEAD":
        return Leave(Reason.STATUS)
    if not (media_type in _TYPES or media_type.startswith(b"text/") or media_type.endswith((b"+json", b"+xml"))):
        return Leave(Reason.TYPE)
    if length is not None and length < MIN_BYTES:
        return Leave(Reason.SMALL)
    if site_coding is None:
        return Leave(Reason.CODING)
    if _no_transform(headers) or _no_transform(ask.headers):
        return Leave(Reason.NO_TRANSFORM)
    if _refuses_identity(ask.get(b"accept-encoding") or b""):
        return Leave(Reason.IDENTITY_REFUSED)
    if site_coding and any(name in _SIGNED for name in field):
        return Leave(Reason.SIGNED)
    # `If-Match` compares strongly: a weakened tag would make a script's update fail
    if site_coding and heads.for_script(ask) and field.get(b"etag", b"").startswith(b'"'):
        return Leave(Reason.SCRIPT_COMPARES)
    return Recode(site_coding, length)


def compresses(sample: bytes) -> bool:
    """Whether the plain start of a body looks like text; random and encrypted bytes do not."""
    sample = sample[:SAMPLE_BYTES]
    return len(sample) < MIN_BYTES or len(zlib.compress(sample, 1)) < COMPRESSES_TO * len(sample)


def link_head(headers: Headers, recode: Recode, with_dictionary: bool) -> Headers:
    """The head as it crosses the link."""
    kept = [pair for pair in headers if pair[0] != b"content-length"]
    if recode.length_bytes is not None:
        kept.append((LENGTH, b"%d" % recode.length_bytes))
    return [*kept, (CODED, b"1" if with_dictionary else b"0")]


@dataclass(frozen=True, slots=True)
class Restored:
    """How a body comes: `dictionary`, and what the site's body weighs where that is known already."""

    dictionary: bool
    was_coded: bool
    origin_bytes: int | None


def browser_head(headers: Headers) -> tuple[Headers, Restored | None]:
    """The head for the browser, and how its body comes; None: as it is."""
    mark = next((value for name, value in headers if name == CODED), None)
    length = next((value for name, value in headers if name == LENGTH), b"")
    kept = [pair for pair in headers if pair[0] not in (CODED, LENGTH)]
    if mark is None:
        return kept, None
    was_coded = any(name == b"content-encoding" and value.strip() not in (b"", b"identity") for name, value in kept)
    origin_bytes = int(length) if length.isdigit() and len(length) < 19 else None
    if was_coded:
        kept = [(name, _weak(value) if name == b"etag" else value) for name, value in kept]
        kept = [pair for pair in kept if pair[0] not in (b"content-encoding", b"accept-ranges")]
    elif origin_bytes is not None:
        kept.append((b"content-length", b"%d" % origin_bytes))
    return kept, Restored(mark == b"1", was_coded, origin_bytes)


def as_the_browser_knows_it(ask: Ask, headers: Headers) -> Headers:
    """A 304's head: its tag stays weak where the browser's is, for the browser then has the plain bytes."""
    asked = ask.get(b"if-none-match") or b""
    return [
        (name, _weak(value) if name == b"etag" and value.startswith(b'"') and b"W/" + value in asked else value)
        for name, value in headers
    ]


def _weak(tag: bytes) -> bytes:
    return tag if tag.startswith(b"W/") else b"W/" + tag


def _one_coding(headers: Headers) -> bytes | None:
    """The coding of a body, b"" for none; None when we do not read it."""
    named = [
        part.strip().lower() for name, value in headers if name == b"content-encoding" for part in value.split(b",")
    ]
    named = [each for each in named if each not in (b"", b"identity")]
    if not named:
        return b""
    return named[0] if len(named) == 1 and named[0] in coding.KNOWN else None


def _no_transform(headers: heads.Pairs) -> bool:
    return any(name == b"cache-control" and b"no-transform" in value.lower() for name, value in headers)


def _refuses_identity(accept_encoding: bytes) -> bool:
    return _NO_IDENTITY.search(accept_encoding.lower()) is not None
