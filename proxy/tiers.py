"""On which terms an image is encoded: the tier and the formats, from what each side says and what the network is like.

In: upstream's configured tier, downstream's capabilities, the browser's request headers. Out: `Terms`. Refuses:
nothing; hints that make no sense are taken as absent.

Who asks for faithful pictures or for originals gets them over any network. Else a thin network, or a person who says so
(`Save-Data`), lowers balanced to economy: by the browser's client hints (ECT, Downlink, RTT, also as Sec-CH-…) and by
the class of the link that downstream measures. Nothing raises a tier: saving is what the pair is for.

Sources: Network Information API (ECT and its thresholds), Save-Data API, RFC 8942 (client hints).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from proxy.config import FORMATS, TIERS
from proxy.headers import Headers
from proxy.negotiation import Accept

ECONOMY, BALANCED, FAITHFUL, OFF = TIERS
THIN_LINKS = frozenset(("slow-2g", "2g"))
THIN_DOWNLINK_MBPS = 0.15
THIN_RTT_MS = 1400.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How good the answer must be, the image formats it may have besides a bundle, and whether animations may become
    animated WebP: then the browser itself must show it, for downstream would make a still of it.
    """

    tier: str
    formats: tuple[str, ...]
    moving: bool = False


def terms(configured: str, accept: Accept, request: Headers) -> Terms:
    """The terms for one image."""
    tier = accept.tier or configured
    if tier == BALANCED and (saves_data(request) or thin(request, accept.link)):
        tier = ECONOMY
    shown = shown_formats(request.get("accept"))
    formats = tuple(name for name in FORMATS if name in shown or name in accept.formats)
    return Terms(tier, formats, moving="webp" in shown)


def saves_data(request: Headers) -> bool:
    """Whether the browser was told to save data."""
    told = (_hint(request, "save-data") or "").lower()
    return told in ("on", "?1") or (request.get("sec-ch-prefers-reduced-data") or "").lower().strip('"') == "reduce"


def thin(request: Headers, link: str) -> bool:
    """Whether the network, as the browser or downstream sees it, is slower than 3G."""
    if link in THIN_LINKS or (_hint(request, "ect") or "").lower().strip('"') in THIN_LINKS:
        return True
    downlink, rtt = _number(_hint(request, "downlink")), _number(_hint(request, "rtt"))
    return (downlink is not None and 0 < downlink < THIN_DOWNLINK_MBPS) or (rtt is not None and rtt >= THIN_RTT_MS)


def shown_formats(accept: str | None) -> frozenset[str]:
    """The formats that an Accept value names outright; `image/*` and `*/*` are what browsers of any age send."""
    named = set()
    for part in (accept or "").lower().split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        refused = any(p.startswith("q=") and not _number(p[2:]) for p in parameters)
        kind, _, subtype = media_type.partition("/")
        if kind == "image" and subtype in FORMATS and not refused:
            named.add(subtype)
    return frozenset(named)


def _hint(request: Headers, name: str) -> str | None:
    return request.get(name) or request.get(f"sec-ch-{name}")


def _number(text: str | None) -> float | None:
    """A finite number of up to ten characters, or None."""
    try:
        value = float(text) if text and len(text) <= 10 else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
