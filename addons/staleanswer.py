"""Lets an addon answer a request after all when no server can be reached, instead of mitmproxy's error page.

In: failures to connect, connections that end without a byte of an answer. Out: the answer that the flow's metadata
offers under `FALLBACK`. Refuses: once anything of an answer came, and where a certificate was refused, for that is to
be seen.

There is no hook for it: `error` comes when the flow is lost. So `install` wraps the method that loses it; where a later
mitmproxy has no such method, the error page comes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from mitmproxy import http
from mitmproxy.proxy.layers import http as layer
from mitmproxy.proxy.layers.http._events import ResponseProtocolError
from mitmproxy.proxy.layers.http._hooks import HttpResponseHeadersHook

logger = logging.getLogger("sketchwire.cache")

FALLBACK = "sketchwire_stale_answer"  # of a flow's metadata: makes an answer, or None
Fallback = Callable[[http.HTTPFlow], http.Response | None]
_NEEDED = ("handle_protocol_error", "send_response", "check_killed", "state_done", "state_wait_for_response_headers")


def install() -> None:
    """Teach mitmproxy's HTTP streams; once is enough."""
    stream: Any = layer.HttpStream
    if getattr(stream, "sketchwire_stale", False) or not all(hasattr(stream, name) for name in _NEEDED):
        return
    stream.sketchwire_stale = True
    stream.handle_protocol_error = _answering(stream.handle_protocol_error)


def _answering(original: Any) -> Any:
    def handle_protocol_error(self: Any, event: Any) -> Iterator[Any]:
        answer = _answer(self, event)
        if answer is None:
            yield from original(self, event)
            return
        answer.timestamp_start = time.time()
        self.flow.response = answer
        yield HttpResponseHeadersHook(self.flow)
        if not (yield from self.check_killed(True)):
            yield from self.send_response()

    return handle_protocol_error


def _answer(stream: Any, event: Any) -> http.Response | None:
    flow = getattr(stream, "flow", None)
    offered = flow.metadata.get(FALLBACK) if flow is not None else None
    if flow is None or offered is None or not isinstance(event, ResponseProtocolError):
        return None
    if "certificate" in event.message.lower():
        return None
    untouched = stream.client_state == stream.state_done and flow.response is None
    if not untouched or stream.server_state != stream.state_wait_for_response_headers:
        return None
    try:
        answer: http.Response | None = offered(flow)
    except Exception:
        logger.exception("there is no stale answer; the error is shown")
        return None
    return answer
