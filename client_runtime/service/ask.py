"""What a client asks for, from the headers of its request.

In: the headers of a `POST /v1/reconstruct`. Out: an `Ask`. Refuses: values that make no sense (`BadAsk`, which
carries the HTTP status). When in doubt, nothing is shared: words without a word about sharing are kept for nobody.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote_to_bytes

from proxy.bundle.imagefile import WEBP_MAX_SIDE_PX
from proxy.bundle.model import MAX_PROMPT_CHARS

PROMPT = "Sketchwire-Prompt"
DEADLINE = "Sketchwire-Deadline-Ms"
QUALITY = "Sketchwire-Quality"
SHARE = "Sketchwire-Share"
CLIENT = "Sketchwire-Client"

MEDIA_TYPES = ("image/webp", "image/jpeg", "image/png")  # the order breaks ties
DEFAULT_QUALITY = 88
MAX_DEADLINE_S = 600.0
JPEG_MAX_SIDE_PX = 65_500

_PSEUDONYM = re.compile(r"[\x21-\x7e]{1,128}")
_WEIGHT = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)")


class BadAsk(ValueError):
    """The request's headers make no sense; `status` is the HTTP status to answer with."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Sharing(StrEnum):
    """Who else may get the same reconstruction from the cache."""

    EVERYONE = "everyone"
    CLIENT = "client"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Ask:
    """`media_types` in the client's order; `client` is the pseudonym that `Sharing.CLIENT` is about, else None."""

    media_types: tuple[str, ...]
    quality: int
    deadline_s: float
    prompt: str | None
    sharing: Sharing
    client: str | None


def parse(headers: Mapping[str, str], default_deadline_s: float) -> Ask:
    """The `Ask` in `headers`, a case-insensitive mapping. Raises BadAsk."""
    media_types = acceptable(headers.get("Accept"))
    if not media_types:
        raise BadAsk(f"none of the accepted types can be made; Accept one of {', '.join(MEDIA_TYPES)}", 406)
    prompt = _prompt(headers.get(PROMPT))
    sharing, client = _sharing(headers.get(SHARE), headers.get(CLIENT), prompt)
    quality = _number(headers, QUALITY, DEFAULT_QUALITY, 1, 100)
    deadline_ms = _number(headers, DEADLINE, default_deadline_s * 1000, 0, math.inf)
    return Ask(media_types, int(quality), min(deadline_ms / 1000, MAX_DEADLINE_S), prompt, sharing, client)


def acceptable(accept: str | None) -> tuple[str, ...]:
    """The media types that can be made and `accept` (RFC 9110, section 12.5.1) allows, best first; all when None."""
    if accept is None or not accept.strip():
        return MEDIA_TYPES
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        media_range, *parameters = (part.strip() for part in item.split(";"))
        weight = next((p[2:].strip() for p in parameters if p.startswith("q=")), "1")
        if _WEIGHT.fullmatch(weight):
            weights[media_range] = float(weight)

    def weight_of(media_type: str) -> float:
        return next((weights[r] for r in (media_type, "image/*", "*/*") if r in weights), 0.0)

    return tuple(sorted((m for m in MEDIA_TYPES if weight_of(m) > 0), key=weight_of, reverse=True))


def fitting(media_types: tuple[str, ...], width_px: int, height_px: int) -> str:
    """The first of `media_types` that can hold a picture of this size. Raises BadAsk when none can."""
    longest = max(width_px, height_px)
    limits = {"image/webp": WEBP_MAX_SIDE_PX, "image/jpeg": JPEG_MAX_SIDE_PX}
    for media_type in media_types:
        if longest <= limits.get(media_type, longest):
            return media_type
    raise BadAsk(f"a picture of {width_px}×{height_px} px does not fit into {', '.join(media_types)}", 406)


def _number(headers: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    text = headers.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and low <= int(text) <= high):
        top = f" to {high:g}" if high < math.inf else " or more"
        raise BadAsk(f"{name} must be a whole number, {low:g}{top}")
    return int(text)


def _prompt(value: str | None) -> str | None:
    if value is None or value == "":
        return None
    try:
        text = unquote_to_bytes(value.encode("ascii")).decode("utf-8")
    except UnicodeError as error:
        raise BadAsk(f"{PROMPT} must be percent-encoded UTF-8") from error
    if len(text) > MAX_PROMPT_CHARS:
        raise BadAsk(f"{PROMPT} has {len(text)} characters; the limit is {MAX_PROMPT_CHARS}")
    return text


def _sharing(share: str | None, client: str | None, prompt: str | None) -> tuple[Sharing, str | None]:
    if client is not None and not _PSEUDONYM.fullmatch(client):
        raise BadAsk(f"{CLIENT} must be 1 to 128 visible ASCII characters")
    shared = prompt is None if share is None else share.strip().lower() == "yes"
    if shared:
        return Sharing.EVERYONE, None
    return (Sharing.NOBODY, None) if client is None else (Sharing.CLIENT, client)
