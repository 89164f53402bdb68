"""Socket bytes are charged to the flows they were for, and none is lost."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy.test import tflow

from addons import sockets
from addons.sockets import LeftOver, SocketMeter


class Wires:
    """A client's connection to upstream: streams as mitmproxy has them, and what it did with them."""

    def __init__(self, meter: SocketMeter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.flow = tflow.tflow()
        self.client, self.server = self.flow.client_conn, self.flow.server_conn
        self.reader = asyncio.StreamReader(loop=asyncio.get_running_loop())
        self.written: list[bytes] = []
        self.writer = SimpleNamespace(write=self.written.append)
        handler = SimpleNamespace(client=self.client, transports={self.server: self})
        proxyserver = SimpleNamespace(connections={"1": handler})
        addons = SimpleNamespace(get={"proxyserver": proxyserver}.get)
        monkeypatch.setattr(sockets.ctx, "master", SimpleNamespace(addons=addons), raising=False)
        self.meter = meter
        self.data: Any = SimpleNamespace(client=self.client, server=self.server)
        meter.server_connected(self.data)

    def another_flow(self) -> Any:
        flow = tflow.tflow()
        flow.client_conn = self.client
        return flow


@pytest.fixture
def left() -> list[LeftOver]:
    return []


@pytest.fixture
async def wires(left: list[LeftOver], monkeypatch: pytest.MonkeyPatch) -> Wires:
    return Wires(SocketMeter(left.append), monkeypatch)


def move(wires: Wires, up: int, down: int) -> None:
    wires.writer.write(b"u" * up)
    wires.reader.feed_data(b"d" * down)


async def test_bytes_go_where_they_went_before(wires: Wires) -> None:
    move(wires, 10, 20)
    assert wires.written == [b"u" * 10] and await wires.reader.readexactly(20) == b"d" * 20


async def test_a_flow_is_charged_what_crossed_since_the_last_one(wires: Wires, left: list[LeftOver]) -> None:
    move(wires, 300, 900)  # the handshake is the first flow's
    wires.meter.begin(wires.flow, lambda: (0, 0))
    move(wires, 50, 1_000)
    assert wires.meter.charge(wires.flow) == (350, 1_900)
    second = wires.another_flow()
    wires.meter.begin(second, lambda: (0, 0))
    move(wires, 60, 70)
    assert wires.meter.charge(second) == (60, 70)
    assert wires.meter.charge(second) is None  # once only


async def test_flows_that_share_a_connection_are_charged_their_own(wires: Wires) -> None:
    slow = wires.another_flow()
    wires.meter.begin(wires.flow, lambda: (0, 0))
    wires.meter.begin(slow, lambda: (100, 5_000))  # so far
    move(wires, 160, 5_900)
    assert wires.meter.charge(wires.flow) == (60, 900)
    move(wires, 0, 4_000)
    assert wires.meter.charge(slow) == (100, 9_000)


async def test_what_no_flow_was_charged_for_is_left_over(wires: Wires, left: list[LeftOver]) -> None:
    wires.meter.begin(wires.flow, lambda: (0, 0))
    move(wires, 5, 6)
    wires.meter.charge(wires.flow)
    move(wires, 24, 24)  # farewell
    wires.meter.client_disconnected(wires.client)
    assert left == []
    wires.meter.server_disconnected(wires.data)
    assert left == [LeftOver(wires.client, 24, 24, 1)]
    wires.meter.done()
    assert len(left) == 1


async def test_a_connection_without_flows_was_a_tunnel(wires: Wires, left: list[LeftOver]) -> None:
    move(wires, 1_000, 9_000)
    wires.meter.done()
    assert left == [LeftOver(wires.client, 1_000, 9_000, 0)]


async def test_what_cannot_be_counted_is_none(monkeypatch: pytest.MonkeyPatch, wires: Wires) -> None:
    flow = tflow.tflow()
    wires.meter.begin(flow, lambda: (1, 1))
    assert wires.meter.charge(flow) is None
    assert wires.meter.charge(tflow.tflow()) is None
