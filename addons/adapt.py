"""Between mitmproxy's flows and our facts: everything that knows the shape of a flow's messages.

In: flows. Out: `RequestFacts`, `ResponseFacts` and sizes; flows with new heads, bodies and answers of our own.
Refuses: nothing; header bytes that are no UTF-8 survive the way there and back.
"""

from __future__ import annotations

from mitmproxy import http

from addons.errorpage import page
from proxy.headers import Headers
from proxy.policy import RequestFacts, ResponseFacts


def request_facts(flow: http.HTTPFlow) -> RequestFacts:
    """The head of the flow's request."""
    return RequestFacts(flow.request.method.upper(), headers_of(flow.request))


def response_facts(response: http.Response) -> ResponseFacts:
    """The head of an answer."""
    return ResponseFacts(response.status_code, headers_of(response))


def headers_of(message: http.Message) -> Headers:
    """A message's header fields as a view of ours."""
    return Headers.of((_text(name), _text(value)) for name, value in message.headers.fields)


def set_headers(message: http.Message, headers: Headers) -> None:
    """Give a message these fields and no others; in HTTP/2 and 3 their names are lower case."""
    lower = message.http_version.startswith(("HTTP/2", "HTTP/3"))
    pairs = ((name.lower() if lower else name, value) for name, value in headers)
    message.headers = http.Headers([(_bytes(name), _bytes(value)) for name, value in pairs])


def set_response(response: http.Response, headers: Headers, body: bytes, status: int | None = None) -> None:
    """Replace the flow's answer in place; the protocol version stays, for HTTP/2 streams depend on it."""
    if status is not None and status != response.status_code:
        response.status_code = status
        response.reason = ""
    set_headers(response, headers)
    response.trailers = None
    response.raw_content = body


def answer(flow: http.HTTPFlow, status: int, headers: Headers, body: bytes = b"") -> None:
    """Answer the flow ourselves; nothing is fetched."""
    made = http.Response.make(status, body, ())
    set_headers(made, headers)
    if status not in (204, 304) and "content-length" not in headers:
        made.headers["content-length"] = str(len(body))
    flow.response = made


def refuse(flow: http.HTTPFlow, status: int, why: str, advice: str = "") -> None:
    """Answer the flow with an error page that says what happened and what to do."""
    fields = (("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store"))
    answer(flow, status, Headers(fields), page(status, why, advice))


def client_address(flow: http.HTTPFlow) -> str:
    """The address of the peer that sent the request."""
    peer = flow.client_conn.peername
    return str(peer[0]) if peer else "unknown"


def request_head_bytes(flow: http.HTTPFlow) -> int:
    """What the request's head weighs as HTTP/1.1 text."""
    line = f"{flow.request.method} {flow.request.url} HTTP/1.1\r\n"
    return len(line.encode("utf-8", "surrogateescape")) + headers_of(flow.request).size_bytes() + 2


def response_head_bytes(response: http.Response) -> int:
    """What an answer's head weighs as HTTP/1.1 text."""
    return len("HTTP/1.1 200 OK\r\n") + headers_of(response).size_bytes() + 2


def large_or_unknown_body(request: http.Request, limit_bytes: int) -> bool:
    """Whether a request's body should be passed on as it comes instead of being collected."""
    length = headers_of(request).number("content-length")
    if length is not None:
        return length > limit_bytes
    return "transfer-encoding" in request.headers or (request.is_http2 and request.method in ("POST", "PUT", "PATCH"))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
