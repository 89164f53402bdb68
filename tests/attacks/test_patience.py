"""Clients that wait for nothing, against a running pair with little patience: cut off, while others are served."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.proxies import Process, Server, exchange, start, status

HEAD_S, IDLE_S, CONNECTIONS = 1.0, 4.0, 12
GRACE_S = 3.0  # it looks once a second, on a busy machine


@dataclass
class Pair:
    """A pair, and a site behind it."""

    downstream: Process
    upstream: Process
    site: Server

    def request(self) -> bytes:
        return f"GET http://site.test:{self.site.port}/ HTTP/1.1\r\nHost: site.test:{self.site.port}\r\n\r\n".encode()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("patience")
    access: dict[str, object] = {
        "head_deadline_s": HEAD_S,
        "idle_deadline_s": IDLE_S,
        "client_connections": CONNECTIONS,
    }
    with Server("site") as site:
        far: dict[str, object] = {
            "hosts": ["site.test=127.0.0.1"],
            "allow_private_targets": [f"site.test:{site.port}"],
        }
        upstream = start("upstream", folder, upstream=far, access=access)
        near: dict[str, object] = {"upstream": upstream.url, "upstream_ca": str(upstream.ca), "runtime": ""}
        downstream = start("downstream", folder, downstream=near, access=access)
        yield Pair(downstream, upstream, site)
        for process in (downstream, upstream):
            assert process.stop() == 0
            assert "Traceback" not in process.log.read_text() and "defect" not in process.log.read_text()


@contextlib.contextmanager
def connected(port: int, sent: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(sent)
        yield client


def rest(client: socket.socket) -> tuple[bytes, float]:
    """What comes until the other side ends the connection, and after how many seconds that is."""
    began, came = time.monotonic(), b""
    with contextlib.suppress(ConnectionError):
        while chunk := client.recv(65536):
            came += chunk
    return came, time.monotonic() - began


def one(client: socket.socket) -> bytes:
    """An answer of the site, or what came until the connection is ended."""
    came = b""
    with contextlib.suppress(ConnectionError):
        while not came.endswith(b"reached site") and (chunk := client.recv(65536)):
            came += chunk
    return came


@pytest.mark.parametrize("role", ["downstream", "upstream"])
def test_a_head_that_does_not_arrive_is_told_so_and_ended(pair: Pair, role: str) -> None:
    port = getattr(pair, role).port
    with connected(port, pair.request()[:-2] + b"X-A: ") as client:
        came, took_s = rest(client)
    assert status(came) == 408 and took_s < HEAD_S + GRACE_S


def test_a_byte_now_and_then_buys_no_time(pair: Pair) -> None:
    began = time.monotonic()
    with connected(pair.downstream.port, pair.request()[:-2]) as client, contextlib.suppress(OSError):
        client.settimeout(0.2)
        while time.monotonic() - began < 15:
            client.sendall(b"X")
            with contextlib.suppress(TimeoutError):
                if not client.recv(100):
                    break
    assert time.monotonic() - began < HEAD_S + GRACE_S + 1


def test_a_handshake_that_stops_is_ended(pair: Pair) -> None:
    opening = f"CONNECT site.test:{pair.site.port} HTTP/1.1\r\nHost: site.test\r\n\r\n".encode()
    with connected(pair.downstream.port, opening) as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        client.sendall(b"\x16\x03\x01\x02\x00\x01")
        came, took_s = rest(client)
    assert came == b"" and took_s < HEAD_S + GRACE_S


def test_a_connection_may_rest_between_requests_but_not_for_ever(pair: Pair) -> None:
    with connected(pair.downstream.port, pair.request()) as client:
        assert b"reached site" in one(client)
        time.sleep(HEAD_S + 1.5)  # longer than a head may take
        client.sendall(pair.request())
        assert b"reached site" in one(client)
        came, took_s = rest(client)
    assert came == b"" and IDLE_S - 1 < took_s < IDLE_S + GRACE_S


def test_a_slow_answer_is_no_idling(pair: Pair) -> None:
    pair.site.answer_after_s = IDLE_S + 2
    try:
        with connected(pair.downstream.port, pair.request()) as client:
            assert b"reached site" in one(client)
    finally:
        pair.site.answer_after_s = 0.0


def test_one_address_has_so_many_connections_and_no_more(pair: Pair) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(connected(pair.downstream.port))
        deadline = time.monotonic() + 10
        while True:  # those of earlier tests may still be on their way out
            with connected(pair.downstream.port, pair.request()) as extra:
                came = one(extra)
            if came == b"" or time.monotonic() > deadline:
                break
        assert came == b"", "one too many was served"
    time.sleep(0.3)
    assert b"reached site" in exchange(pair.downstream.port, pair.request())


def test_others_are_served_meanwhile(pair: Pair) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS - 4):
            stack.enter_context(connected(pair.downstream.port, pair.request()[:-2] + b"X-A: "))
        assert b"reached site" in exchange(pair.downstream.port, pair.request())
