"""Decides, from facts about a request and its answer, whether an image may be rewritten.

In: heads of requests and answers, then the body. Out: `Take` or `Skip(reason, detail)`.
Refuses (as a `Skip`) whatever is not provably a complete, public, raster image that the browser asked for as an image.

The three judges run as the facts arrive: `judge_request`, `judge_head`, `judge_body`. Each may be asked on either side
of the link, so that both proxies agree without exchanging a byte. Browsers send no Sec-Fetch-* over plain http: those
fields decide only where present; else `Accept` and the body's first bytes do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from proxy.headers import Headers
from proxy.sniff import sniff


class Reason(StrEnum):
    """Why an image was left alone or went wrong: stable codes that reach logs, ledger and report."""

    METHOD = "method"
    HEAD = "head"
    STATUS = "status"
    NOT_IMAGE = "not-image"
    NO_TRANSFORM = "no-transform"
    RANGE = "range"
    PRIVATE = "private"
    FETCH_DEST = "fetch-dest"
    FETCH_MODE = "fetch-mode"
    NOT_ASKED = "not-asked"
    TOO_SMALL = "too-small"
    TOO_LARGE = "too-large"
    TOO_MANY_PIXELS = "too-many-pixels"
    TRACKING_PIXEL = "tracking-pixel"
    UNKNOWN_CODING = "unknown-coding"
    NOT_AN_IMAGE_BODY = "not-an-image-body"
    SVG = "svg"
    ANIMATED = "animated"
    ALPHA = "alpha"
    BROKEN = "broken"
    INCOMPLETE = "incomplete"
    UNSUPPORTED_FORMAT = "unsupported-format"
    KIND = "kind"
    NO_GAIN = "no-gain"
    TIER = "tier"
    DEADLINE = "deadline"
    BUSY = "busy"
    CRASHED = "crashed"
    LOOP = "loop"
    FORCED_ORIGINAL = "forced-original"
    NOT_MODIFIED = "not-modified"
    CACHED = "cached"
    STALE = "stale"
    FOREIGN_BUNDLE = "foreign-bundle"
    BREAKER_OPEN = "breaker-open"
    RUNTIME = "runtime"
    UNREACHABLE = "unreachable"
    INTERNAL_ERROR = "internal-error"


@dataclass(frozen=True, slots=True)
class Take:
    """The image may be rewritten, as far as the facts known so far tell."""


@dataclass(frozen=True, slots=True)
class Skip:
    """The image stays as it is; `detail` is for people and never holds an address or a name from the page."""

    reason: Reason
    detail: str = ""


Verdict = Take | Skip


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """The head of a request."""

    method: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class ResponseFacts:
    """The head of an answer."""

    status: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class Limits:
    """The operator's bounds on what may be rewritten."""

    min_bytes: int = 1024
    max_bytes: int = 20 * 1024 * 1024
    transform_private: bool = False
    codings: frozenset[str] = field(default=frozenset(("identity", "gzip", "x-gzip", "deflate", "br", "zstd")))


TRACKING_PIXEL_BYTES = 128
_UNTYPED = frozenset(("", "application/octet-stream", "binary/octet-stream"))
_RASTER = frozenset(("image/jpeg", "image/png", "image/webp", "image/avif", "image/gif", "image/bmp", "image/tiff"))


def judge_request(request: RequestFacts, limits: Limits) -> Verdict:
    """Whether an answer to `request` could be rewritten at all."""
    headers = request.headers
    if request.method != "GET":
        return Skip(Reason.HEAD if request.method == "HEAD" else Reason.METHOD)
    if "range" in headers:
        return Skip(Reason.RANGE)
    if "no-transform" in headers.directives("cache-control"):
        return Skip(Reason.NO_TRANSFORM, "asked by the browser")
    if "authorization" in headers and not limits.transform_private:
        return Skip(Reason.PRIVATE, "authorised request")
    if "upgrade" in headers and "upgrade" in headers.tokens("connection"):
        return Skip(Reason.METHOD, "upgrade")
    destination = headers.get("sec-fetch-dest")
    if destination is not None and destination.lower() != "image":
        return Skip(Reason.FETCH_DEST, "not asked for as an image")
    if (headers.get("sec-fetch-mode") or "").lower() == "cors":
        return Skip(Reason.FETCH_MODE, "scripts may read the pixels")
    if destination is None and not _accepts_as_image(headers):
        return Skip(Reason.FETCH_DEST, "Accept names something else first")
    return Take()


def asks_for_image(request: RequestFacts) -> bool:
    """Whether the browser says outright that it wants an image (not merely anything)."""
    destination = request.headers.get("sec-fetch-dest")
    return destination.lower() == "image" if destination else (request.headers.get("accept") or "").startswith("image/")


def asks_for_page(request: RequestFacts) -> bool:
    """Whether the browser asks for a document, whose words may describe the images it holds."""
    destination = request.headers.get("sec-fetch-dest")
    if destination is not None:
        return destination.lower() in ("document", "iframe", "frame")
    return "text/html" in (request.headers.get("accept") or "")


def _accepts_as_image(headers: Headers) -> bool:
    """Without Sec-Fetch-Dest: images are asked for with image/* or */* first; pages and styles name their own type."""
    accept = headers.get("accept")
    first = (accept or "*/*").partition(",")[0].partition(";")[0].strip().lower()
    return first == "*/*" or first.startswith("image/")


def judge_head(request: RequestFacts, response: ResponseFacts, limits: Limits) -> Verdict:
    """Whether the body that follows `response` is worth buffering; includes `judge_request`."""
    headers = response.headers
    media_type = headers.media_type()
    if media_type == "image/svg+xml":
        return Skip(Reason.SVG)
    if not media_type.startswith("image/"):
        sniffable = media_type in _UNTYPED and (headers.get("x-content-type-options") or "").lower() != "nosniff"
        if not (sniffable and asks_for_image(request)):
            return Skip(Reason.NOT_IMAGE)
    verdict = judge_request(request, limits)
    if isinstance(verdict, Skip):
        return verdict
    if response.status != 200:
        return Skip(Reason.NOT_MODIFIED if response.status == 304 else Reason.STATUS, str(response.status))
    if "content-range" in headers:
        return Skip(Reason.RANGE, "the answer is a part")
    if "no-transform" in headers.directives("cache-control"):
        return Skip(Reason.NO_TRANSFORM)
    if not limits.transform_private and ("set-cookie" in headers or "www-authenticate" in headers):
        return Skip(Reason.PRIVATE, "the answer sets a cookie")
    if (headers.get("content-disposition") or "").lower().startswith("attachment"):
        return Skip(Reason.NOT_IMAGE, "a download")
    codings = headers.tokens("content-encoding")
    if len(codings) > 1 or any(coding not in limits.codings for coding in codings):
        return Skip(Reason.UNKNOWN_CODING)
    length = headers.number("content-length")
    if "content-length" in headers and length is None:
        return Skip(Reason.INCOMPLETE, "Content-Length is no number")
    if length is not None:
        return _judge_length(length, limits)
    return Take()


def judge_body(response: ResponseFacts, raw: bytes, decoded: bytes, limits: Limits) -> Verdict:
    """Whether a whole body is an image we know; `raw` as it came, `decoded` without its Content-Encoding."""
    length = response.headers.number("content-length")
    if length is not None and length != len(raw):
        return Skip(Reason.INCOMPLETE, f"{len(raw)} of {length} bytes came")
    verdict = _judge_length(len(decoded), limits)
    if isinstance(verdict, Skip):
        return verdict
    found = sniff(decoded)
    if found is None:
        return Skip(Reason.NOT_AN_IMAGE_BODY)
    if found == "image/svg+xml":
        return Skip(Reason.SVG)
    if found not in _RASTER:
        return Skip(Reason.UNSUPPORTED_FORMAT, found)
    return Take()


def _judge_length(size_bytes: int, limits: Limits) -> Verdict:
    if size_bytes < limits.min_bytes:
        reason = Reason.TRACKING_PIXEL if size_bytes < TRACKING_PIXEL_BYTES else Reason.TOO_SMALL
        return Skip(reason, f"{size_bytes} bytes")
    if size_bytes > limits.max_bytes:
        return Skip(Reason.TOO_LARGE, f"{size_bytes} bytes")
    return Take()


__all__ = [
    "Limits",
    "Reason",
    "RequestFacts",
    "ResponseFacts",
    "Skip",
    "Take",
    "Verdict",
    "asks_for_image",
    "asks_for_page",
    "judge_body",
    "judge_head",
    "judge_request",
    "sniff",
]
