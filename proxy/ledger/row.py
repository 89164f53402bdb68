"""One row of the ledger, and what of it may be stored.

In: a `Row` as a proxy fills it, some of it from strangers' headers. Out: the values to store (`facet`, `numbers`).
Refuses: any text that is not one of our short codes, a known media type, a pseudonym or a registrable domain, so that
no URL, path or query gets in.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

Role = Literal["downstream", "upstream"]
Decision = Literal[
    "reconstructed", "preview", "recoded", "skipped", "original", "passed", "cached", "tunnelled", "overhead", "error"
]

ROLES = ("downstream", "upstream")
DECISIONS = (
    "reconstructed",  # an engine drew a bundle
    "preview",  # a bundle was shown without a model
    "recoded",  # sent smaller by a classical coding
    "skipped",  # an image that passed as it came; the reason says why
    "original",  # the original was sent after all, or asked for
    "passed",  # not an image: pages, styles, scripts, …
    "cached",  # answered without the link
    "tunnelled",  # passed sealed: TLS that is not opened
    "overhead",  # bytes of a connection that belong to no response: handshakes that came to nothing, farewells
    "error",
)
STAGES = ("origin_ms", "encode_ms", "link_ms", "queue_ms", "reconstruct_ms", "total_ms")
BYTES = ("origin_bytes", "link_bytes", "link_up_bytes", "delivered_bytes", "refetch_bytes")
OTHER = "other"
KNOWN_TYPES = frozenset(
    {
        "image/apng",
        "image/avif",
        "image/bmp",
        "image/gif",
        "image/heic",
        "image/heif",
        "image/jpeg",
        "image/jpg",
        "image/jxl",
        "image/pjpeg",
        "image/png",
        "image/svg+xml",
        "image/tiff",
        "image/vnd.microsoft.icon",
        "image/webp",
        "image/x-icon",
        "application/javascript",
        "application/json",
        "application/manifest+json",
        "application/octet-stream",
        "application/pdf",
        "application/wasm",
        "application/x-javascript",
        "application/xhtml+xml",
        "application/xml",
        "application/zip",
        "audio/mp4",
        "audio/mpeg",
        "audio/ogg",
        "binary/octet-stream",
        "font/otf",
        "font/ttf",
        "font/woff",
        "font/woff2",
        "text/css",
        "text/event-stream",
        "text/html",
        "text/javascript",
        "text/plain",
        "text/xml",
        "video/mp4",
        "video/webm",
    }
)
_FAMILIES = ("image", "audio", "video", "font", "text")
_CODE = re.compile(r"[a-z0-9][a-z0-9+@_-]{0,47}\Z")
_PSEUDONYM = re.compile(r"[0-9a-f]{8,64}\Z")
_DOMAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}\Z")
_LONGEST = 128  # of a code or media type that is looked at; no known one is longer
LARGEST = 2**40  # of a count; the sum of eight million of them fits a 64-bit integer


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What happened to one response.

    `time_s` is Unix time, kept to the millisecond; a stage's milliseconds are None when the stage did not run.
    `origin_bytes` is the body the origin sent, as coded; `link_bytes` what crossed the thin link for it, both ways,
    with heads, framing and TLS as far as they can be measured; `link_up_bytes` the part of it towards the origin;
    `refetch_bytes` what crossed the link on top of that because a bundle could not be used, in `refetches` requests;
    `delivered_bytes` the body the browser was given. `quality` is a similarity measured by the encoder, 0 to 1.

    `subscriber` is a pseudonym (hexadecimal), `domain` a registrable domain, kept only by a ledger that may. There is
    no field for a URL, a path or a query, on purpose.
    """

    time_s: float
    role: Role
    decision: Decision
    image: bool = True
    content_type: str = ""
    reason: str = ""
    mode: str = ""
    engine: str = ""
    kind: str = ""
    subscriber: str = ""
    domain: str = ""
    width_px: int = 0
    height_px: int = 0
    origin_bytes: int = 0
    link_bytes: int = 0
    link_up_bytes: int = 0
    delivered_bytes: int = 0
    refetch_bytes: int = 0
    refetches: int = 0
    origin_ms: float | None = None
    encode_ms: float | None = None
    link_ms: float | None = None
    queue_ms: float | None = None
    reconstruct_ms: float | None = None
    total_ms: float | None = None
    cache_hit: bool = False
    quality: float | None = None


class Facet(NamedTuple):
    """The codes of a row: what reports group by. There are a few hundred different ones, kept once each."""

    role: str
    decision: str
    image: int
    content_type: str
    reason: str
    mode: str
    engine: str
    kind: str


NUMBERS = ("width_px", "height_px", *BYTES, "refetches", *STAGES, "cache_hit", "quality")


def facet(row: Row) -> Facet:
    """The row's codes, made safe to keep."""
    codes = (str(text or "")[:_LONGEST] for text in (row.content_type, row.reason, row.mode, row.engine, row.kind))
    return _facet(row.role, row.decision, bool(row.image), *codes)


@functools.lru_cache(maxsize=4_096)
def _facet(role: str, decision: str, image: bool, content_type: str, *codes: str) -> Facet:
    return Facet(
        role if role in ROLES else OTHER,
        decision if decision in DECISIONS else OTHER,
        int(image),
        media_type(content_type),
        *map(_code, codes),
    )


def numbers(row: Row) -> dict[str, int | float | None]:
    """The row's numbers by column, `time_ms` included. Raises TypeError or ValueError for what is no number."""
    quality = row.quality
    return {  # written out, for it is done for every response
        "time_ms": _time_ms(row.time_s),
        "width_px": _count(row.width_px),
        "height_px": _count(row.height_px),
        "origin_bytes": _count(row.origin_bytes),
        "link_bytes": _count(row.link_bytes),
        "link_up_bytes": _count(row.link_up_bytes),
        "delivered_bytes": _count(row.delivered_bytes),
        "refetch_bytes": _count(row.refetch_bytes),
        "refetches": _count(row.refetches),
        "origin_ms": _milliseconds(row.origin_ms),
        "encode_ms": _milliseconds(row.encode_ms),
        "link_ms": _milliseconds(row.link_ms),
        "queue_ms": _milliseconds(row.queue_ms),
        "reconstruct_ms": _milliseconds(row.reconstruct_ms),
        "total_ms": _milliseconds(row.total_ms),
        "cache_hit": int(bool(row.cache_hit)),
        "quality": None if quality is None or not math.isfinite(quality) else min(max(float(quality), 0.0), 1.0),
    }


def subscriber(row: Row) -> str:
    """The row's pseudonym, or nothing when it is not one."""
    text = str(row.subscriber or "")
    return text if _PSEUDONYM.match(text) else ""


def domain(row: Row) -> str:
    """The row's domain, or nothing when it is none."""
    text = str(row.domain or "").lower()
    return text if len(text) <= 253 and _DOMAIN.match(text) else ""


def media_type(content_type: str) -> str:
    """The known media type in a Content-Type header, without parameters (which may name a file); else a placeholder."""
    essence = str(content_type or "").partition(";")[0].strip().lower()
    if not essence or essence in KNOWN_TYPES:
        return essence
    family = essence.partition("/")[0]
    return f"{family}/{OTHER}" if family in _FAMILIES else OTHER


def _code(text: str) -> str:
    text = str(text or "").lower()
    return text if not text or _CODE.match(text) else OTHER


def _count(number: int) -> int:
    return number if type(number) is int and 0 <= number <= LARGEST else min(max(int(number), 0), LARGEST)


def _time_ms(seconds: float) -> int:
    if not math.isfinite(seconds) or abs(seconds) > 2**40:
        raise ValueError(f"a row's time must be a finite number of seconds, not {seconds}")
    return round(seconds * 1000)


def _milliseconds(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else round(max(float(number), 0.0), 3)
