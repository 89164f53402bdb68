"""The heads of rewritten messages: what of a request or an answer crosses each hop, changed in one piece.

In: the headers that came. Out: the whole list of headers that goes on. Refuses (leaves out): everything that describes
the old body, everything of ours where strangers would see it, and, of a bundle's head, whatever an image does not need:
an origin's fields often weigh more than the bundle itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy import bare, etag
from proxy.bundle import MEDIA_TYPE
from proxy.bundle.provenance import FIELD
from proxy.headers import Headers
from proxy.negotiation import ACCEPT, INFO, PREFIX, Info, format_info

VIA = "1.1 sketchwire"
NEUTRAL_TYPE = "application/octet-stream"
# the one hint about the network that is a person's setting; the others change by the minute
HINTS = ("Save-Data",)

# what browsers act on when they show an image; the rest is for documents, scripts or people with a debugger
_KEPT = frozenset(
    (
        "access-control-allow-credentials",
        "access-control-allow-origin",
        "access-control-expose-headers",
        "age",
        "cache-control",
        "clear-site-data",
        "content-disposition",
        "content-dpr",
        "cross-origin-embedder-policy",
        "cross-origin-resource-policy",
        "date",
        "expires",
        "last-modified",
        "pragma",
        "set-cookie",
        "strict-transport-security",
        "timing-allow-origin",
        "via",
        "x-content-type-options",
    )
)
OUR_TYPES = frozenset((MEDIA_TYPE, bare.MEDIA_TYPE))
_FOR_THIS_PROXY = frozenset(("proxy-authorization", "proxy-connection"))
_ONE_HOP = frozenset(("keep-alive", "proxy-connection"))
_CONNECTION_WORDS = frozenset(("close", "keep-alive"))
# what a Connection field may not name (RFC 9110, 7.6.1): without these a message says something else
_NOT_ONE_HOP = frozenset(
    ("authorization", "cache-control", "content-length", "content-type", "cookie", "host", "range", "transfer-encoding")
)
_FRESHNESS = frozenset(("age", "cache-control", "expires", "pragma"))
_BODY = frozenset(("content-encoding", "content-length", "content-type", "transfer-encoding", "trailer"))
_VALIDATORS = frozenset(("accept-ranges", "content-digest", "content-md5", "digest", "etag", "repr-digest"))


def neutralised(headers: Headers) -> Headers:
    """An origin's answer without our fields, and with our media types replaced: only the paired proxy speaks them."""
    clean = end_to_end(headers.without((), PREFIX))
    if clean.media_type() not in OUR_TYPES:
        return clean
    return clean.without(("content-type",)).adding(("Content-Type", NEUTRAL_TYPE))


def without_ours(headers: Headers) -> Headers:
    """A request without our fields and without those meant for the proxy it came to."""
    return end_to_end(headers.without(_FOR_THIS_PROXY, PREFIX))


def end_to_end(headers: Headers) -> Headers:
    """A message without what concerns one hop only: the fields that Connection names, and Upgrade but to WebSocket."""
    named = set(headers.tokens("connection"))
    web_socket = "upgrade" in named and "websocket" in headers.tokens("upgrade")
    words = _CONNECTION_WORDS | ({"upgrade"} if web_socket else set())
    left_out = (named - _NOT_ONE_HOP - words) | _ONE_HOP | (set() if web_socket else {"upgrade"})
    kept = headers.without(left_out)
    if named <= words:
        return kept
    stays = [word for word in headers.tokens("connection") if word in words]
    rest = kept.without(("connection",))
    return rest.adding(("Connection", ", ".join(stays))) if stays else rest


def without_partial(headers: Headers) -> Headers:
    """A request without its Range if that depends on one of our tags: a part of the original fits no reconstruction."""
    return headers.without(("range", "if-range")) if etag.is_ours(headers.get("if-range") or "") else headers


def with_tags_for_origin(headers: Headers, unwrap: bool) -> tuple[Headers, dict[str, str]]:
    """A request with our entity tags turned into the origin's, and the way back for its 304 (see proxy.etag).

    Without `unwrap` our tags are dropped: who did not ask for bundles gets no "not modified" for a reconstruction.
    """
    if "if-none-match" not in headers:
        return headers, {}
    outgoing, back = etag.for_origin(", ".join(headers.get_all("if-none-match")), unwrap)
    rest = headers.without(("if-none-match",))
    return (rest.adding(("If-None-Match", outgoing)) if outgoing else rest), back


def with_our_tag(headers: Headers, back: Mapping[str, str]) -> Headers:
    """An origin's 304 with the tag that the browser knows, if it confirms a rewritten image."""
    ours = back.get(etag.opaque(headers.get("etag") or ""))
    return headers.without(("etag",)).adding(("ETag", ours)) if ours else headers


def announced(headers: Headers, info: Info) -> Headers:
    """An image that passes unchanged, with upstream's word why."""
    return headers.adding(("Via", VIA), (INFO, format_info(info)))


def bundle_head(origin: Headers, body_bytes: int, info: Info) -> Headers:
    """The head of a bundle made from an answer with the headers `origin`."""
    vary = _vary(origin, "Accept", *HINTS, ACCEPT)
    ours = [("Content-Type", MEDIA_TYPE), ("Content-Length", str(body_bytes)), ("Vary", vary)]
    if tag := etag.wrap(origin.get("etag")):
        ours.append(("ETag", tag))
    return announced(origin.only(_KEPT).adding(*ours), info)


def file_head(origin: Headers, media_type: str, body_bytes: int, tag: str, info: Info) -> Headers:
    """The head of a classical file made from an answer with the headers `origin`; `tag` is for those without any."""
    ours = (
        ("Content-Type", media_type),
        ("Content-Length", str(body_bytes)),
        ("Vary", _vary(origin, "Accept", *HINTS, ACCEPT)),
        ("ETag", etag.wrap(origin.get("etag")) or tag),
    )
    return announced(origin.only(_KEPT).adding(*ours), info)


def shown_head(
    link: Headers, media_type: str, body_bytes: int, tag: str | None, degraded: bool, provenance: str = ""
) -> Headers:
    """The head of a reconstruction for the browser, from the bundle's head `link`.

    `provenance` is the one field of ours that browsers see. It is always made here, and one that came is dropped with
    the others, so that no origin can give its pictures a false history or take a reconstruction's true one. The picture
    must be confirmed before each use, so that a better one can replace it; a degraded one is not stored at all.
    """
    kept = link.without(_FRESHNESS | _BODY | _VALIDATORS | {"vary"}, PREFIX)
    no_store = degraded or "no-store" in link.directives("cache-control")
    ours = [
        ("Content-Type", media_type),
        ("Content-Length", str(body_bytes)),
        ("Cache-Control", "no-store" if no_store else "private, no-cache"),
        ("Vary", _vary(link, "Accept", *HINTS)),
    ]
    if provenance:
        ours.append((FIELD, provenance))
    if tag and not no_store:
        ours.append(("ETag", tag))
    return kept.adding(*ours)


def confirmed_head(tag: str) -> Headers:
    """The head of a 304 that downstream gives by itself."""
    return Headers((("ETag", tag), ("Cache-Control", "private, no-cache"), ("Vary", "Accept"), ("Via", VIA)))


def spooled_head(original: Headers, body_bytes: int) -> Headers:
    """The head of an original that is sent again, whole or in part, from the spool."""
    return original.without(("content-length", "transfer-encoding", "trailer")).adding(
        ("Content-Length", str(body_bytes)), ("Via", VIA)
    )


def _vary(headers: Headers, *ours: str) -> str:
    """The answer's Vary with `ours` added once, and our own field names left out unless they are in `ours`."""
    names = {name: name for name in headers.tokens("vary") if not name.startswith(PREFIX)}
    if "*" in names:
        return "*"
    names |= {name.lower(): name for name in ours}
    return ", ".join(names.values())
