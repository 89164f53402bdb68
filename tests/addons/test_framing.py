"""What mitmproxy's HTTP/1 layers would break off goes on: seen on the readers themselves; over sockets elsewhere."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from mitmproxy.proxy.layers.http import _http1

from addons import framing


class Buffer:
    def __init__(self, data: bytes) -> None:
        from h11._receivebuffer import ReceiveBuffer

        self.made: Any = ReceiveBuffer()
        self.made += data


@pytest.mark.parametrize(
    ("head", "is_interim"),
    [
        (b"HTTP/1.1 103 Early Hints\r\n", True),
        (b"HTTP/1.1 100\r\n", True),
        (b"HTTP/1.0 199 x\r\n", True),
        (b"HTTP/1.1 101 Switching Protocols\r\n", False),
        (b"HTTP/1.1 200 OK\r\n", False),
        (b"HTTP/1.1 1000 x\r\n", False),
        (b"HTTP/1.1 10", False),
    ],
)
def test_interim_answers_are_told_from_others(head: bytes, is_interim: bool) -> None:
    assert framing._starts_interim(Buffer(head).made) is is_interim


def test_trailers_end_a_body_like_nothing() -> None:
    framing.install()
    reader, buffer = _http1.make_body_reader(None), Buffer(b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n").made
    found = [reader(buffer) for _ in range(2)]
    assert bytes(found[0].data) == b"abc" and found[1] == h11.EndOfMessage()


def test_installing_twice_is_installing_once() -> None:
    framing.install()
    methods = (_http1.Http1Client.read_headers, _http1.Http1Server.send, _http1.make_body_reader)
    framing.install()
    assert methods == (_http1.Http1Client.read_headers, _http1.Http1Server.send, _http1.make_body_reader)
