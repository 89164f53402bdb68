"""Flows for the addons' tests, made of mitmproxy's own messages."""

from __future__ import annotations

from mitmproxy import http
from mitmproxy.test import tflow

ACCEPT_IMAGE = "image/avif,image/webp,*/*;q=0.8"
NONCE = "0123456789abcdef"
ASKING = f"v=1;engine=sketch@01234567;nonce={NONCE};client=0123456789ab"


def request(path: str = "/a.jpg", method: str = "GET", **fields: str) -> http.HTTPFlow:
    """A flow whose request has just come in; `_` in field names stands for `-`."""
    flow = tflow.tflow()
    given = {name.replace("_", "-"): text for name, text in fields.items()}
    flow.request = http.Request.make(method, f"http://site.test{path}")
    flow.request.headers = headers({"Host": "site.test", "Accept": ACCEPT_IMAGE} | given)
    return flow


def headers(given: dict[str, str]) -> http.Headers:
    return http.Headers([(name.encode(), value.encode()) for name, value in given.items()])


def answered(flow: http.HTTPFlow, body: bytes, status: int = 200, **fields: str) -> http.HTTPFlow:
    """The flow with an answer from the server."""
    given = {"Content-Type": "image/jpeg", "Content-Length": str(len(body))}
    given |= {name.replace("_", "-"): text for name, text in fields.items()}
    flow.response = http.Response.make(status, body)
    flow.response.headers = headers(given)
    return flow


def stream(flow: http.HTTPFlow, *chunks: bytes) -> bytes:
    """Pass chunks through the flow's stream callable, as mitmproxy does."""
    assert flow.response is not None and callable(flow.response.stream)
    out = b""
    for chunk in (*chunks, b""):
        passed = flow.response.stream(chunk)
        assert isinstance(passed, bytes)
        out += passed
    return out


def ours(message: http.Message) -> list[str]:
    """Names of our fields in a message."""
    return [name for name in message.headers if name.lower().startswith("sketchwire")]
