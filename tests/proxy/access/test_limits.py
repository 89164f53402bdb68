from __future__ import annotations

import pytest

from proxy.access.limits import RequestLimits
from proxy.headers import Headers

LIMITS = RequestLimits(max_url_bytes=100, max_header_bytes=1000, max_header_fields=5)
NONE = Headers()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "M-SEARCH"])
def test_methods_of_pages_pass(method: str) -> None:
    assert LIMITS.judge(method, "http://a/", NONE) is None


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "DEBUG", "get", "G{T", "", "X" * 40, "GET\x00"])
def test_others_do_not(method: str) -> None:
    refused = LIMITS.judge(method, "http://a/", NONE)
    assert refused is not None and refused.status == 405


def test_sizes_are_bounded_at_exactly_their_limits() -> None:
    assert LIMITS.judge("GET", "x" * 100, NONE) is None
    refused = LIMITS.judge("GET", "x" * 101, NONE)
    assert refused is not None and refused.status == 414
    five = Headers(tuple(("a", "b") for _ in range(5)))
    assert LIMITS.judge("GET", "x", five) is None
    for headers in (five.adding(("a", "b")), Headers((("a", "b" * 1000),))):
        refused = LIMITS.judge("GET", "x", headers)
        assert refused is not None and refused.status == 431
