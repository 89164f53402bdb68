"""Methods and statuses: only a complete 200 to a GET may be rewritten."""

from __future__ import annotations

from tests.conformance.origin import raw
from tests.conformance.rule import JPEG, PHOTO, passes, rewritten, rule, untouched
from tests.conformance.stand import ANY, Stand

TAGGED = (*JPEG, ("ETag", '"p1"'), ("Cache-Control", "max-age=60"))


@rule("method-get", "A photograph that is asked for with GET is sent smaller and shown at its own size", "FACTS")
async def get(stand: Stand) -> None:
    got = await stand.ask(raw(200, TAGGED, PHOTO))
    rewritten(got)
    assert got.asked.method == "GET" and len(got.seen) == 1


@rule("method-head", "HEAD gets the origin's own head and no body", "RFC 9110 9.3.2")
async def head(stand: Stand) -> None:
    got = await stand.ask(raw(200, TAGGED, PHOTO), method="HEAD")
    untouched(got, 200, TAGGED, b"")
    assert got.answer.get("content-length") == str(len(PHOTO)) and got.asked.method == "HEAD"


for _method, _section in (("POST", "9.3.3"), ("PUT", "9.3.4"), ("DELETE", "9.3.5"), ("PATCH", "")):
    passes(
        f"method-{_method.lower()}",
        f"{_method}: the body reaches the origin as it is, and so does the image that answers it",
        f"RFC 9110 {_section}" if _section else "RFC 5789",
        TAGGED,
        method=_method,
        sent=b'{"a": 1}' * 20,
    )
passes(
    "method-options",
    "OPTIONS (a CORS preflight) passes with all its fields",
    "RFC 9110 9.3.7; Fetch 4.8",
    (("Access-Control-Allow-Origin", "https://a.test"), ("Access-Control-Allow-Methods", "GET, PUT")),
    request=(("Origin", "https://a.test"), ("Access-Control-Request-Method", "PUT")),
    method="OPTIONS",
    status=204,
    accept=ANY,
    body=b"",
)
passes(
    "method-other",
    "Methods of other standards (WebDAV's PROPFIND) pass",
    "RFC 9110 9.1",
    (("Content-Type", "application/xml"),),
    method="PROPFIND",
    status=207,
    body=b"<multistatus/>",
    accept=ANY,
)


@rule("method-trace", "TRACE, which shows a request's fields to scripts, is refused", "RFC 9110 9.3.8; Fetch 2.2.1")
async def trace(stand: Stand) -> None:
    got = await stand.ask(raw(200, (), b""), method="TRACE", accept=ANY)
    assert got.answer.status in (403, 405, 501) and not got.seen


@rule("method-large-body", "A body of a megabyte reaches the origin whole", "RFC 9110 9.3.3")
async def large_body(stand: Stand) -> None:
    sent = bytes(range(256)) * 4096
    got = await stand.ask(raw(200, (("Content-Type", "text/plain"),), b"done"), method="POST", body=sent, accept=ANY)
    assert got.answer.body == b"done" and got.asked.body == sent


passes("status-204", "204 passes without a body", "RFC 9110 15.3.5", (("X-A", "1"),), status=204, body=b"")
passes(
    "status-206",
    "206 passes just as it is, also to a request without Range",
    "RFC 9110 15.3.7",
    (*JPEG, ("Content-Range", f"bytes 0-{len(PHOTO) - 1}/{len(PHOTO)}")),
    status=206,
)
passes(
    "status-content-range",
    "A 200 that says it is a part is not rewritten",
    "RFC 9110 14.4",
    (*JPEG, ("Content-Range", f"bytes 0-{len(PHOTO) - 1}/{len(PHOTO) + 5}")),
)
for _status, _section in ((301, "2"), (302, "3"), (303, "4"), (307, "8"), (308, "9")):
    passes(
        f"status-{_status}",
        f"{_status}: the redirect goes to the browser with its Location, and nobody follows it on the way",
        f"RFC 9110 15.4.{_section}",
        (("Location", "/elsewhere?a=b#c"), ("Content-Type", "text/html")),
        status=_status,
        body=b"<a href=/elsewhere>moved</a>",
    )
passes(
    "status-304",
    "304 for something that was never rewritten passes with the origin's tag",
    "RFC 9110 15.4.5",
    (("ETag", '"v7"'), ("Cache-Control", "max-age=60")),
    request=(("If-None-Match", '"v7"'),),
    status=304,
    body=b"",
)
for _status, _what in (
    (400, "a client's error"),
    (401, "a challenge"),
    (403, "a refusal"),
    (404, "a missing page"),
    (410, "a page that is gone"),
    (429, "a limit"),
    (500, "a server's error"),
    (503, "an overload"),
):
    _more = {
        401: (("WWW-Authenticate", 'Basic realm="x"'),),
        429: (("Retry-After", "3"),),
        503: (("Retry-After", "9"),),
    }
    passes(
        f"status-{_status}",
        f"{_status} ({_what}) passes with its own body, even if that is an image",
        "RFC 9110 15.5" if _status < 500 else "RFC 9110 15.6",
        (*JPEG, *_more.get(_status, ())),
        status=_status,
    )
passes(
    "status-odd",
    "A status that nobody has defined passes",
    "RFC 9110 15",
    (("Content-Type", "text/plain"),),
    status=299,
    body=b"odd" * 500,
)
