"""Bounds on requests, before anything is done about them.

In: a request's method, URL and headers. Out: None, or a status and what was wrong. Refuses: methods that no page
needs and that show headers to whoever asks (TRACE), URLs and heads that are too large, and too many fields.

Statuses: RFC 9110 (405, 414), RFC 6585 (431).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy.headers import Headers

_METHOD = re.compile(r"[A-Z][A-Z-]{1,23}\Z")
FORBIDDEN_METHODS = frozenset(("TRACE", "TRACK", "DEBUG"))


@dataclass(frozen=True, slots=True)
class TooMuch:
    """The request is refused with `status`; `why` is for the person who made it."""

    status: int
    why: str


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What a request may be; sizes as HTTP/1.1 text."""

    max_url_bytes: int = 16_384
    max_header_bytes: int = 131_072
    max_header_fields: int = 256

    def judge(self, method: str, url: str, headers: Headers) -> TooMuch | None:
        """None when the request may go on."""
        if method in FORBIDDEN_METHODS or not _METHOD.match(method):
            return TooMuch(405, "this method is not passed on")
        if len(url.encode("utf-8", "surrogateescape")) > self.max_url_bytes:
            return TooMuch(414, f"the address is longer than {self.max_url_bytes} bytes")
        if len(headers.fields) > self.max_header_fields:
            return TooMuch(431, f"the request has more than {self.max_header_fields} header fields")
        if headers.size_bytes() > self.max_header_bytes:
            return TooMuch(431, f"the request's header fields weigh more than {self.max_header_bytes} bytes")
        return None
