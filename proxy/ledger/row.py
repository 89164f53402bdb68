"""One row of the ledger, and what of it may be stored.

In: a `Row` as a proxy fills it, some of it from strangers' headers. Out: the values to store (`stored_values`).
Refuses: any text that is not one of our short codes or a known media type, so that no URL, host or path gets in.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Literal

Role = Literal["downstream", "upstream"]
Decision = Literal["reconstructed", "preview", "skipped", "original", "error"]

ROLES = ("downstream", "upstream")
DECISIONS = ("reconstructed", "preview", "skipped", "original", "error")
STAGES = ("encode_ms", "link_ms", "queue_ms", "reconstruct_ms", "total_ms")
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
        "application/json",
        "application/octet-stream",
        "binary/octet-stream",
        "text/html",
        "text/plain",
    }
)
_CODE = re.compile(r"[a-z0-9][a-z0-9+@_-]{0,47}\Z")
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What happened to one image.

    `time_s` is Unix time; a stage's milliseconds are None when the stage did not run. `origin_bytes` is the body the
    origin sent; `link_bytes` what crossed the thin link for it, heads of request and response included;
    `refetch_bytes` what crossed the link on top of that because a bundle could not be used; `delivered_bytes` the
    body the browser was given. There is no field for a URL, a host or a path, on purpose.
    """

    time_s: float
    role: Role
    decision: Decision
    content_type: str = ""
    reason: str = ""
    mode: str = ""
    engine: str = ""
    kind: str = ""
    width_px: int = 0
    height_px: int = 0
    origin_bytes: int = 0
    link_bytes: int = 0
    delivered_bytes: int = 0
    refetch_bytes: int = 0
    encode_ms: float | None = None
    link_ms: float | None = None
    queue_ms: float | None = None
    reconstruct_ms: float | None = None
    total_ms: float | None = None
    cache_hit: bool = False


COLUMNS = tuple(f.name for f in fields(Row))


def stored_values(row: Row) -> tuple[float | int | str | None, ...]:
    """The row's values in the order of `COLUMNS`, made safe to keep. Raises TypeError or ValueError for non-numbers."""
    return (
        _seconds(row.time_s),
        row.role if row.role in ROLES else OTHER,
        row.decision if row.decision in DECISIONS else OTHER,
        media_type(row.content_type),
        *(_code(text) for text in (row.reason, row.mode, row.engine, row.kind)),
        *(_count(number) for number in (row.width_px, row.height_px)),
        *(_count(number) for number in (row.origin_bytes, row.link_bytes, row.delivered_bytes, row.refetch_bytes)),
        *(_milliseconds(getattr(row, stage)) for stage in STAGES),
        int(bool(row.cache_hit)),
    )


def media_type(content_type: str) -> str:
    """The known media type in a Content-Type header, without parameters (which may name a file); else a placeholder."""
    essence = str(content_type or "").partition(";")[0].strip().lower()
    if not essence or essence in KNOWN_TYPES:
        return essence
    return f"image/{OTHER}" if essence.startswith("image/") else OTHER


def _code(text: str) -> str:
    text = str(text or "").lower()
    return text if not text or _CODE.match(text) else OTHER


def _count(number: int) -> int:
    return min(max(int(number), 0), _LARGEST)


def _seconds(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(f"a row's time must be a finite number of seconds, not {number}")
    return float(number)


def _milliseconds(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else round(max(float(number), 0.0), 3)
