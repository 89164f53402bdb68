"""Image addresses, written the way a browser requests them.

In: an address as a page's markup spells it, and the page's base. Out: the absolute http(s) URL without fragment, so
that markup and request compare equal. Refuses: other schemes and what is no URL, as None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

MAX_URL_CHARS = 2048
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PATH_SAFE = "/:@!$&'()*+,;=-._~%[]|^"  # what browsers leave alone in a path; "%" so that nothing is encoded twice
_QUERY_SAFE = _PATH_SAFE.replace("'", "") + "?`{}\\"
_BREAKS = re.compile(r"[\t\r\n]")  # WHATWG URL: removed wherever they stand
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")


def canonical_url(address: str, base: str = "") -> str | None:
    """Resolve `address` against `base` and normalise it: host case, default port, spaces, non-ASCII, dot segments.

    None for anything but http and https, and for addresses over 2,048 characters (data: URLs carry their own image).
    """
    if len(address) > MAX_URL_CHARS:
        return None
    cleaned = _BREAKS.sub("", address).strip(" \x00\x0b\x0c\x1f")
    if _SCHEME.match(cleaned) and not cleaned[:6].lower().startswith(("http:", "https:")):
        return None
    try:
        path, mark, query = cleaned.partition("?")
        parts = urlsplit(urljoin(base, path.replace("\\", "/") + mark + query))
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
        if scheme not in _DEFAULT_PORTS or not host:
            return None
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
        netloc = f"[{host}]" if ":" in host else host
        if port is not None and port != _DEFAULT_PORTS[scheme]:
            netloc += f":{port}"
        path = quote(_without_dots(parts.path), safe=_PATH_SAFE, errors="replace") or "/"
        query = quote(parts.query, safe=_QUERY_SAFE, errors="replace")
        url = urlunsplit((scheme, netloc, path, query, ""))
    except (ValueError, UnicodeError):
        return None
    return url if len(url) <= MAX_URL_CHARS else None


def srcset_addresses(srcset: str, limit: int) -> Iterator[str]:
    """The addresses of a `srcset`, at most `limit`; split as HTML does it, so data: URLs keep their commas."""
    position, found = 0, 0
    while found < limit and position < len(srcset):
        start = _skip(srcset, position, " \t\r\n\f,")
        end = start
        while end < len(srcset) and srcset[end] not in " \t\r\n\f":
            end += 1
        address = srcset[start:end]
        if address.endswith(","):
            position = end
        else:
            comma = srcset.find(",", end)
            position = len(srcset) if comma < 0 else comma + 1
        if address.rstrip(","):
            found += 1
            yield address.rstrip(",")


def css_addresses(css: str, limit: int) -> Iterator[tuple[int, str]]:
    """(offset, address) of each `url(…)` in a style sheet or attribute, at most `limit`; one pass over the text."""
    position = 0
    lowered = css.lower()  # may be longer than css for a few letters, so addresses are cut out of an equally long copy
    source = css if len(lowered) == len(css) else lowered
    for _ in range(limit):
        opening = lowered.find("url(", position)
        if opening < 0:
            return
        start = _skip(source, opening + 4, " \t\r\n\f")
        quoted = source[start : start + 1] in ("'", '"')
        end = source.find(source[start] if quoted else ")", start + quoted)
        if end < 0:
            return
        position = end + 1
        address = source[start + quoted : end].strip()
        if address:
            yield opening, address


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def _without_dots(path: str) -> str:
    """RFC 3986 5.2.4; urljoin leaves the dot segments of an address that was already absolute."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept)
