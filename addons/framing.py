"""Keeps HTTP/1 exchanges going that mitmproxy would break off: interim answers, fields after a chunked body, and empty
lines before a request.

In: bytes from servers and clients. Out: the final answer instead of a 1xx, bodies without their trailers, requests.
Refuses nothing. All may be dropped (RFC 9110, 6.5.1: trailers that are not known to be safe; RFC 9112, 2.2: empty
lines; browsers ignore 1xx of HTTP/1.1 but 101), where mitmproxy 11 takes a 103 for the answer, ends the connection at
a trailer and waits for ever behind an empty line.

There is no hook for any of them, so `install` wraps the methods that read and write them; where a later mitmproxy has
no such method, its own behaviour stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import h11
from mitmproxy.proxy import events
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._events import RequestTrailers, ResponseTrailers

_INTERIM = re.compile(rb"HTTP/1\.\d 1(?!01)\d\d[ \r\n]")
_START_BYTES = 13


def install() -> None:
    """Teach mitmproxy's HTTP/1 layers; once is enough."""
    if getattr(_http1, "sketchwire_framing", False):
        return
    setattr(_http1, "sketchwire_framing", True)  # noqa: B010  (a new name, for mypy)
    for kind in (_http1.Http1Server, _http1.Http1Client):
        setattr(kind, "send", _without_trailers(kind.send))  # noqa: B010  (a method, for mypy)
    places: tuple[tuple[Any, str, Any], ...] = (
        (_http1.Http1Server, "read_headers", _from_the_first_line),
        (_http1.Http1Client, "read_headers", _final_only),
        (_http1, "make_body_reader", _ending_plainly),
    )
    for place, name, wrap in places:
        if hasattr(place, name):
            setattr(place, name, wrap(getattr(place, name)))


def _without_trailers(original: Any) -> Any:
    """HTTP/2 servers send trailers, too; towards HTTP/1 they end here."""

    def send(self: Any, event: Any) -> Iterator[Any]:
        if not isinstance(event, RequestTrailers | ResponseTrailers):
            yield from original(self, event)

    return send


def _from_the_first_line(original: Any) -> Any:
    def read_headers(self: Any, event: Any) -> Iterator[Any]:
        while isinstance(event, events.DataReceived) and bytes(self.buf._data[:2]).startswith((b"\r\n", b"\n")):
            self.buf.maybe_extract_lines()
        yield from original(self, event)

    return read_headers


def _final_only(original: Any) -> Any:
    def read_headers(self: Any, event: Any) -> Iterator[Any]:
        while isinstance(event, events.DataReceived) and self.request and _starts_interim(self.buf):
            if not self.buf.maybe_extract_lines():
                return  # the rest of its head is still to come
        yield from original(self, event)

    return read_headers


def _starts_interim(buffer: Any) -> bool:
    return _INTERIM.match(bytes(buffer._data[:_START_BYTES])) is not None


def _ending_plainly(original: Any) -> Any:
    def make_body_reader(expected_size: int | None) -> Any:
        reader = original(expected_size)
        return _Plain(reader) if expected_size is None else reader

    return make_body_reader


class _Plain:
    """A reader of chunked bodies that forgets the fields at their end."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def __call__(self, buffer: Any) -> Any:
        return _plain(self._reader(buffer))

    def read_eof(self) -> Any:
        return _plain(self._reader.read_eof())


def _plain(event: Any) -> Any:
    return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) and event.headers else event
