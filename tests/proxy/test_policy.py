from __future__ import annotations

import pytest

from proxy.headers import Headers
from proxy.policy import (
    Limits,
    Reason,
    RequestFacts,
    ResponseFacts,
    Skip,
    Take,
    asks_for_image,
    asks_for_page,
    judge_body,
    judge_head,
    judge_request,
)

LIMITS = Limits(min_bytes=1000, max_bytes=100_000)
JPEG = b"\xff\xd8\xff\xe0" + bytes(5000)


def asked(method: str = "GET", **headers: str) -> RequestFacts:
    fields = {"Accept": "image/webp,image/*,*/*;q=0.8"} | {
        name.replace("_", "-"): text for name, text in headers.items()
    }
    return RequestFacts(method, Headers.of(fields.items()))


def came(status: int = 200, **headers: str) -> ResponseFacts:
    fields = {"Content-Type": "image/jpeg"} | {name.replace("_", "-"): text for name, text in headers.items()}
    return ResponseFacts(status, Headers.of(fields.items()))


def reason(verdict: Take | Skip) -> Reason | None:
    return verdict.reason if isinstance(verdict, Skip) else None


@pytest.mark.parametrize(
    ("request_facts", "expected"),
    [
        (asked(), None),
        (asked("HEAD"), Reason.HEAD),
        (asked("POST"), Reason.METHOD),
        (asked(Range="bytes=0-1"), Reason.RANGE),
        (asked(Cache_Control="max-age=0, No-Transform"), Reason.NO_TRANSFORM),
        (asked(Authorization="Basic x"), Reason.PRIVATE),
        (asked(Upgrade="websocket", Connection="keep-alive, Upgrade"), Reason.METHOD),
        (asked(Sec_Fetch_Dest="image", Sec_Fetch_Mode="no-cors"), None),
        (asked(Sec_Fetch_Dest="empty"), Reason.FETCH_DEST),
        (asked(Sec_Fetch_Dest="document"), Reason.FETCH_DEST),
        (asked(Sec_Fetch_Dest="video", Range="bytes=0-"), Reason.RANGE),
        (asked(Sec_Fetch_Dest="image", Sec_Fetch_Mode="CORS"), Reason.FETCH_MODE),
        (asked(Sec_Fetch_Mode="cors"), Reason.FETCH_MODE),
        (asked(Accept="text/html,image/avif,*/*;q=0.8"), Reason.FETCH_DEST),
        (asked(Accept="text/css,*/*;q=0.1"), Reason.FETCH_DEST),
        (asked(Accept="application/json"), Reason.FETCH_DEST),
        (asked(Accept="*/*"), None),
        (asked(Accept=""), None),
        (asked(Sec_Fetch_Dest="image", Accept="text/html"), None),
    ],
)
def test_requests(request_facts: RequestFacts, expected: Reason | None) -> None:
    assert reason(judge_request(request_facts, LIMITS)) == expected
    assert reason(judge_head(request_facts, came(), LIMITS)) == expected


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (came(), None),
        (came(Content_Length="5000"), None),
        (came(204), Reason.STATUS),
        (came(206), Reason.STATUS),
        (came(304), Reason.NOT_MODIFIED),
        (came(404), Reason.STATUS),
        (came(503), Reason.STATUS),
        (came(Content_Range="bytes 0-1/2"), Reason.RANGE),
        (came(Content_Type="text/html"), Reason.NOT_IMAGE),
        (came(Content_Type="text/event-stream"), Reason.NOT_IMAGE),
        (came(Content_Type="image/svg+xml; charset=utf-8"), Reason.SVG),
        (came(Content_Type="application/octet-stream"), None),
        (came(Content_Type=""), None),
        (came(Content_Type="application/octet-stream", X_Content_Type_Options="nosniff"), Reason.NOT_IMAGE),
        (came(Cache_Control="public, no-transform"), Reason.NO_TRANSFORM),
        (came(Set_Cookie="a=b"), Reason.PRIVATE),
        (came(Content_Disposition='attachment; filename="a.jpg"'), Reason.NOT_IMAGE),
        (came(Content_Disposition='inline; filename="a.jpg"'), None),
        (came(Content_Encoding="gzip"), None),
        (came(Content_Encoding="gzip, br"), Reason.UNKNOWN_CODING),
        (came(Content_Encoding="aes128gcm"), Reason.UNKNOWN_CODING),
        (came(Content_Length="43"), Reason.TRACKING_PIXEL),
        (came(Content_Length="999"), Reason.TOO_SMALL),
        (came(Content_Length="100001"), Reason.TOO_LARGE),
        (came(Content_Length="12a"), Reason.INCOMPLETE),
    ],
)
def test_answers(response: ResponseFacts, expected: Reason | None) -> None:
    assert reason(judge_head(asked(), response, LIMITS)) == expected


def test_untyped_bodies_need_an_outright_wish_for_an_image() -> None:
    untyped = came(Content_Type="application/octet-stream")
    assert reason(judge_head(asked(Accept="*/*"), untyped, LIMITS)) == Reason.NOT_IMAGE
    assert reason(judge_head(asked(Accept="*/*", Sec_Fetch_Dest="image"), untyped, LIMITS)) is None


def test_private_answers_may_be_configured() -> None:
    limits = Limits(transform_private=True)
    assert reason(judge_head(asked(Authorization="x"), came(Set_Cookie="a=b"), limits)) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (JPEG, None),
        (b"", Reason.TRACKING_PIXEL),
        (JPEG[:999], Reason.TOO_SMALL),
        (JPEG + bytes(100_000), Reason.TOO_LARGE),
        (b"<html>" + bytes(5000), Reason.NOT_AN_IMAGE_BODY),
        (b"<svg >" + bytes(5000), Reason.SVG),
        (b"\xff\x0a" + bytes(5000), Reason.UNSUPPORTED_FORMAT),
        (b"\0\0\1\0" + bytes(5000), Reason.UNSUPPORTED_FORMAT),
    ],
)
def test_bodies(body: bytes, expected: Reason | None) -> None:
    assert reason(judge_body(came(), body, body, LIMITS)) == expected


def test_body_must_be_as_long_as_it_says() -> None:
    assert reason(judge_body(came(Content_Length="9000"), JPEG, JPEG, LIMITS)) == Reason.INCOMPLETE
    assert reason(judge_body(came(Content_Length=str(len(JPEG))), JPEG, JPEG, LIMITS)) is None


def test_wishes() -> None:
    assert asks_for_image(asked()) and not asks_for_image(asked(Accept="*/*"))
    assert not asks_for_image(asked(Sec_Fetch_Dest="empty"))
    assert asks_for_page(asked(Accept="text/html")) and not asks_for_page(asked())
    assert asks_for_page(asked(Sec_Fetch_Dest="iframe")) and not asks_for_page(asked(Sec_Fetch_Dest="style"))


def test_reasons_are_short_codes() -> None:
    assert all(each.value == each.name.lower().replace("_", "-") for each in Reason)
