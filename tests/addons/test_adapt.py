from __future__ import annotations

from mitmproxy import http

from addons import adapt
from proxy.headers import Headers
from tests.addons.flows import answered, request


def test_facts_hold_the_head_as_it_came() -> None:
    flow = answered(request(method="get", X_Odd="é"), b"body", 206)
    facts = adapt.request_facts(flow)
    assert facts.method == "GET" and facts.headers.get("x-odd") == "é"
    assert flow.response is not None and adapt.response_facts(flow.response).status == 206


def test_bytes_that_are_no_text_survive() -> None:
    flow = request()
    flow.request.headers = http.Headers([(b"X", b"\xff\xfe")])
    adapt.set_headers(flow.request, adapt.headers_of(flow.request).adding(("Y", "1")))
    assert flow.request.headers.fields == ((b"X", b"\xff\xfe"), (b"Y", b"1"))


def test_an_answer_is_replaced_in_place() -> None:
    flow = answered(request(), b"long body", 200, Transfer_Encoding="chunked")
    assert flow.response is not None
    flow.response.trailers = http.Headers(a="b")
    before = flow.response
    adapt.set_response(flow.response, Headers((("Content-Length", "2"),)), b"ok", 404)
    assert flow.response is before and flow.response.trailers is None
    assert (flow.response.status_code, flow.response.raw_content) == (404, b"ok")
    assert flow.response.headers.fields == ((b"Content-Length", b"2"),)


def test_answers_of_our_own_have_a_length_unless_they_may_not() -> None:
    flow = request()
    adapt.answer(flow, 200, Headers(), b"abc")
    assert flow.response is not None and flow.response.headers["content-length"] == "3"
    adapt.answer(flow, 304, Headers())
    assert flow.response is not None and "content-length" not in flow.response.headers


def test_sizes_are_those_of_http_1_text() -> None:
    flow = answered(request("/a"), b"x")
    text = "GET http://site.test/a HTTP/1.1\r\nHost: site.test\r\nAccept: image/avif,image/webp,*/*;q=0.8\r\n\r\n"
    assert adapt.request_head_bytes(flow) == len(text)
    assert flow.response is not None
    head = "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 1\r\n\r\n"
    assert adapt.response_head_bytes(flow.response) == len(head)


def test_the_client_is_its_address() -> None:
    flow = request()
    assert adapt.client_address(flow) == "127.0.0.1"
    flow.client_conn.peername = None  # type: ignore[assignment]
    assert adapt.client_address(flow) == "unknown"
