"""Which addresses' stored answers a request that changes something makes worthless.

In: a request's method and address, its answer. Out: addresses. Refuses: addresses of other sites than the request's
own, which no site may have a say in.

Source: RFC 9111, section 4.4.
"""

from __future__ import annotations

from urllib.parse import urldefrag, urljoin, urlsplit

from proxy.headers import Headers

SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))


def invalidated(method: str, url: str, status: int, answer: Headers) -> tuple[str, ...]:
    """The addresses whose answers to forget; none unless an unsafe method was answered without an error."""
    if method in SAFE or method == "CONNECT" or not 200 <= status < 400:
        return ()
    found = [url]
    for name in ("location", "content-location"):
        target = _absolute(url, answer.get(name))
        if target is not None and _origin(target) == _origin(url):
            found.append(target)
    return tuple(dict.fromkeys(found))


def _absolute(base: str, target: str | None) -> str | None:
    try:
        return urldefrag(urljoin(base, target)).url if target else None
    except ValueError:
        return None


def _origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, parts.hostname or "", port
    except ValueError:
        return None
