from __future__ import annotations

import pytest
from mitmproxy.options import Options
from mitmproxy.proxy import commands, context, events
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.test import tflow

from addons import headsize


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> _http1.Http1Server:
    for kind in (_http1.Http1Server, _http1.Http1Client):
        monkeypatch.setattr(kind, "read_headers", kind.read_headers)
    headsize.install(1000)
    headsize.install(1000)
    made = _http1.Http1Server(context.Context(tflow.tclient_conn(), Options()))
    list(made.handle_event(events.Start()))
    return made


def send(server: _http1.Http1Server, data: bytes) -> list[commands.Command]:
    return list(server.handle_event(events.DataReceived(server.conn, data)))


def test_a_head_without_an_end_is_refused_and_forgotten(server: _http1.Http1Server) -> None:
    assert send(server, b"GET http://a/ HTTP/1.1\r\nX: " + b"y" * 900) == []
    answer, close = send(server, b"y" * 200)
    assert isinstance(answer, commands.SendData) and answer.data.startswith(b"HTTP/1.1 431 ")
    assert isinstance(close, commands.CloseConnection) and len(server.buf) == 0
    assert send(server, b"y" * 5000) == [] and len(server.buf) <= 5000


def test_a_head_that_ends_passes_with_a_large_body_behind_it(server: _http1.Http1Server) -> None:
    head = b"POST http://a/ HTTP/1.1\r\nContent-Length: 9000\r\n\r\n"
    commands_made = send(server, head + b"z" * 5000)
    assert commands_made and not any(isinstance(each, commands.CloseConnection) for each in commands_made)
