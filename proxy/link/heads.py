"""What of a message's head crosses the link, and how: HTTP/1.1 on loopback on one side, HTTP/2 fields on the other.

In: heads as h11 gives them, or fields of the link. Out: fields of the link, or heads for h11. Refuses: a target that
names no site, and fields without what a request must have (`BadHead`).

A request for https comes to the near end as plain HTTP/1.1; where it is meant for stands in its target, or in
`Sketchwire-Link-To: https://example.org:8443;c=0123abcd`, with a name for the browser's client in `c`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy.link.dropped import is_dropped
from proxy.link.schedule import Rank

Pairs = Sequence[tuple[bytes, bytes]]
TO = b"sketchwire-link-to"
BYTES = b"Sketchwire-Link-Bytes"

_HOP_BY_HOP = frozenset(
    (
        b"~h",  # ours, see `repeats` and `text`: they are added after a head was translated
        b"~l",
        b"~s",
        b"~z",
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    )
)
_OURS = frozenset((b"~l", b"~s", b"~z"))  # of an answer
_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}
_AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[^\s/?#@:\[\]\x00-\x20\x7f]{1,255})(?::[0-9]{1,5})?\Z")
_PATH = re.compile(rb"[/*][^\x00-\x20\x7f]*\Z")
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}\Z")
_CLIENT = re.compile(rb"[0-9a-f]{1,32}\Z")
_SPELLING = {
    b"dnt": b"DNT",
    b"etag": b"ETag",
    b"sec-gpc": b"Sec-GPC",
    b"te": b"TE",
    b"www-authenticate": b"WWW-Authenticate",
    b"x-ua-compatible": b"X-UA-Compatible",
}
_LOWER = (b"sec-ch-", b"priority")  # as Chromium writes them in HTTP/1.1


class BadHead(ValueError):
    """A head that cannot cross the link."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request's head; `headers` have lower-case names and nothing that belongs to one hop or to `authority`."""

    method: bytes
    scheme: bytes
    authority: bytes
    path: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    client: str = ""

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field."""
        return next((value for field, value in self.headers if field == name), None)

    @property
    def url(self) -> bytes:
        """The address in full."""
        return self.scheme + b"://" + self.authority + self.path

    def fields(self) -> list[tuple[bytes, bytes]]:
        """As the link carries it."""
        head = [(b":method", self.method), (b":scheme", self.scheme), (b":authority", self.authority)]
        return [*head, (b":path", self.path), *self.headers]


def ask_from_http1(method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Ask:
    """The request that came on loopback. Raises BadHead."""
    came = [(name.lower(), value) for name, value in headers]
    to = next((value for name, value in came if name == TO), None)
    host = next((value for name, value in came if name == b"host"), b"")
    scheme, authority, path, client = b"http", host, target, b""
    if b"://" in target[:9]:
        scheme, _, rest = target.partition(b"://")
        cut = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
        authority, path = rest[:cut], rest[cut:]
        path = path if path.startswith(b"/") else b"/" + path
    if to is not None:
        address, _, client = to.partition(b";c=")
        scheme, _, authority = address.partition(b"://")
    authority = _without_default_port(scheme.lower(), authority)
    kept = [(name, value) for name, value in came if name not in _HOP_BY_HOP and name not in (TO, b"host")]
    kept = [each for each in kept if each[0] not in _named_by_connection(came)]
    if host and _without_default_port(scheme.lower(), host).lower() != authority.lower():
        kept.append((b"host", host))
    ask = Ask(method, scheme.lower(), authority, path, tuple(kept), client.decode() if _CLIENT.match(client) else "")
    return _checked(ask)


def ask_from_fields(fields: Pairs) -> Ask:
    """The request that came over the link. Raises BadHead."""
    pseudo = {name: value for name, value in fields if name.startswith(b":")}
    headers = tuple(
        (bytes(name), bytes(value))
        for name, value in fields
        if not name.startswith(b":") and (name not in _HOP_BY_HOP or name == b"~h") and name != TO
    )
    take = [bytes(pseudo.get(name, b"")) for name in (b":method", b":scheme", b":authority", b":path")]
    return _checked(Ask(take[0], take[1], take[2], take[3], headers))


def http1_request(ask: Ask) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Target and headers of the absolute-form request for the upstream proxy, names spelt as browsers do."""
    cookies = b"; ".join(value for name, value in ask.headers if name == b"cookie")
    host = ask.get(b"host") or ask.authority
    pairs = [(b"Host", host)]
    pairs += [(spelt(name), value) for name, value in ask.headers if name not in (b"host", b"cookie", b"~h")]
    if cookies:
        pairs.append((b"Cookie", cookies))
    return ask.url, pairs


def upgrade_request(ask: Ask, headers: Pairs) -> bytes:
    """The request that opens a WebSocket over plain http, in origin form, for the inside of a tunnel."""
    dropped = (TO, b"proxy-connection", b"proxy-authorization")
    lines = [b"%s %s HTTP/1.1" % (ask.method, ask.path)]
    lines += [name + b": " + value for name, value in headers if name.lower() not in dropped]
    return b"\r\n".join([*lines, b"", b""])


def with_port(ask: Ask) -> bytes:
    """The host and port a request is meant for."""
    has_port = re.search(rb":[0-9]+\Z", ask.authority)
    return ask.authority if has_port else ask.authority + b":" + _DEFAULT_PORTS[ask.scheme]


def answer_fields(status: int, headers: Iterable[tuple[bytes, bytes]], for_script: bool) -> list[tuple[bytes, bytes]]:
    """An answer's head as the link carries it: without what belongs to one hop or matters to no browser."""
    came = [(name.lower(), value) for name, value in headers]
    leave = _HOP_BY_HOP | _named_by_connection(came)
    kept = [pair for pair in came if pair[0] not in leave and not is_dropped(pair[0].decode("latin-1"), for_script)]
    return [(b":status", b"%d" % status), *kept]


def answer_from_fields(fields: Pairs) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Status and headers of an answer that came over the link. Raises BadHead."""
    status = next((value for name, value in fields if name == b":status"), b"")
    if not (len(status) == 3 and status.isdigit() and status >= b"100"):
        raise BadHead("an answer without a status")
    keep = [(bytes(n), bytes(v)) for n, v in fields if not n.startswith(b":") and (n not in _HOP_BY_HOP or n in _OURS)]
    return int(status), keep


def spelt(name: bytes) -> bytes:
    """A field name as HTTP/1.1 clients usually write it."""
    if name.startswith(_LOWER):
        return name
    return _SPELLING.get(name) or b"-".join(part.capitalize() for part in name.split(b"-"))


def for_script(ask: Ask) -> bool:
    """Whether a script may read the head of the answer; also when the browser does not say."""
    return ask.get(b"sec-fetch-dest") in (None, b"empty", b"") and not _accepts_first(ask, (b"text/html", b"image/"))


_URGENCY = {
    b"document": 0,
    b"iframe": 1,
    b"style": 1,
    b"script": 2,
    b"font": 2,
    b"empty": 3,
    b"worker": 3,
    b"manifest": 4,
    b"image": 5,
    b"track": 5,
    b"audio": 6,
    b"video": 6,
}
_SUFFIXES = {b".css": 1, b".js": 2, b".mjs": 2, b".woff2": 2, b".woff": 2, b".json": 3}
_PICTURES = (b".avif", b".gif", b".jpeg", b".jpg", b".png", b".svg", b".webp")
_PRIORITY = re.compile(rb"(?:^|[,\s])u=([0-7])(?:$|[,;\s])")


def rank(ask: Ask) -> Rank:
    """A request's place: what the browser says (RFC 9218), else pages, styles, scripts, data, pictures, films."""
    dest = ask.get(b"sec-fetch-dest") or b""
    suffix = b"." + ask.path.partition(b"?")[0].rpartition(b".")[2].lower()
    if dest in _URGENCY:
        urgency = _URGENCY[dest]
    elif suffix in _SUFFIXES:
        urgency = _SUFFIXES[suffix]
    elif suffix in _PICTURES or _accepts_first(ask, (b"image/",)):
        urgency = _URGENCY[b"image"]
    else:
        urgency = 0 if _accepts_first(ask, (b"text/html",)) else 3
    is_picture = urgency == _URGENCY[b"image"]
    said = _PRIORITY.search(ask.get(b"priority") or b"")
    return Rank(int(said[1]) if said else urgency, shared=not is_picture)


def kind(ask: Ask, content_type: bytes) -> str:
    """The kind of traffic an exchange counts as."""
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type == b"text/html":
        return "page"
    if media_type.startswith(b"image/"):
        return "image"
    if media_type in BUNDLE_TYPES:
        return "bundle"
    if media_type.startswith((b"video/", b"audio/")):
        return "media"
    if media_type.startswith((b"font/", b"application/font")) or ask.get(b"sec-fetch-dest") == b"font":
        return "font"
    if media_type.startswith(b"text/") or media_type.endswith((b"javascript", b"json", b"xml")):
        return "text"
    return "other"


BUNDLE_TYPES = frozenset((b"application/vnd.sketchwire.bundle",))


def _accepts_first(ask: Ask, prefixes: tuple[bytes, ...]) -> bool:
    return (ask.get(b"accept") or b"").startswith(prefixes)


def _checked(ask: Ask) -> Ask:
    if not _METHOD.match(ask.method) or ask.method == b"CONNECT":
        raise BadHead("not a method")
    if ask.scheme not in _DEFAULT_PORTS or not _AUTHORITY.match(ask.authority):
        raise BadHead("the target names no site")
    if not _PATH.match(ask.path):
        raise BadHead("the target has no path")
    return ask


def authority(value: bytes) -> bytes:
    """A host and port as CONNECT names them. Raises BadHead."""
    if not _AUTHORITY.match(value) or b":" not in value:
        raise BadHead("not a host and port")
    return value


def _without_default_port(scheme: bytes, name: bytes) -> bytes:
    host, colon, port = name.rpartition(b":")
    return host if colon and port == _DEFAULT_PORTS.get(scheme) and not host.endswith(b":") else name


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    values = (value for name, value in headers if name == b"connection")
    return frozenset(token.strip().lower() for value in values for token in value.split(b",") if token.strip())
