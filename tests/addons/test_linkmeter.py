"""The ledger's share of the link: what flows and tunnels weighed, and the rest."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.test import tflow

from addons.linkmeter import LinkMeter
from addons.sockets import LeftOver
from proxy.ledger.row import Row
from proxy.link.meter import Tally


@dataclass
class FakeNear:
    """`kinds` is what its sockets carried; port 5 has a tunnel."""

    kinds: dict[str, Tally] = field(default_factory=dict)
    open_now: Tally = field(default_factory=Tally)
    tunnels: dict[int, Tally] = field(default_factory=dict)

    def totals(self) -> dict[str, Tally]:
        return self.kinds

    def under_way(self) -> Tally:
        return self.open_now

    def tunnel(self, local_port: int) -> Tally | None:
        return self.tunnels.get(local_port)


def row(link_bytes: int, up_bytes: int, refetch_bytes: int = 0) -> Row:
    return Row(
        time_s=time.time(),
        role="downstream",
        decision="passed",
        link_bytes=link_bytes,
        link_up_bytes=up_bytes,
        refetch_bytes=refetch_bytes,
    )


def summed(rows: list[Row]) -> tuple[int, int]:
    return sum(each.link_bytes + each.refetch_bytes for each in rows), sum(each.link_up_bytes for each in rows)


def test_the_rest_of_the_wire_gets_a_row() -> None:
    near, rows = FakeNear({"page": Tally(100, 900), "connection": Tally(30, 70)}), list[Row]()
    meter = LinkMeter(near)  # type: ignore[arg-type]
    note = meter.noting(rows.append)
    note(row(1000, 100))
    meter.settle()
    assert [each.decision for each in rows] == ["passed", "overhead"] and summed(rows) == (1100, 130)
    meter.settle()
    assert len(rows) == 2, "nothing is told twice"


def test_what_is_under_way_waits() -> None:
    near, rows = FakeNear({"page": Tally(100, 900)}, open_now=Tally(90, 900)), list[Row]()
    meter = LinkMeter(near)  # type: ignore[arg-type]
    meter.noting(rows.append)
    meter.settle(open_too=False)
    assert summed(rows) == (10, 10)
    meter.settle()
    assert summed(rows) == (1000, 100)


def test_a_row_that_said_too_much_is_made_up_for() -> None:
    near, rows = FakeNear({"page": Tally(100, 900)}), list[Row]()
    meter = LinkMeter(near)  # type: ignore[arg-type]
    note = meter.noting(rows.append)
    note(row(1000, 100, refetch_bytes=50))
    meter.settle()
    near.kinds["page"].add(0, 80)
    meter.settle()
    assert summed(rows) == (1080, 100)


def test_a_tunnel_is_told_when_it_ends() -> None:
    flow, told = tflow.tflow(), list[LeftOver]()
    meter = LinkMeter(FakeNear(tunnels={5: Tally(10, 20)}))  # type: ignore[arg-type]
    meter.left_over = told.append
    flow.server_conn.sockname = ("127.0.0.1", 5)
    assert meter.charge(flow) is None, "an ordinary flow is no tunnel"
    meter.server_disconnected(ServerConnectionHookData(flow.server_conn, flow.client_conn))
    [rest] = told
    assert (rest.up_bytes, rest.down_bytes, rest.flows) == (10, 20, 0)


def test_a_websocket_has_its_handshake_and_the_rest_is_left_over() -> None:
    flow, told, tally = tflow.tflow(), list[LeftOver](), Tally(10, 20)
    meter = LinkMeter(FakeNear(tunnels={5: tally}))  # type: ignore[arg-type]
    meter.left_over = told.append
    flow.server_conn.sockname = ("127.0.0.1", 5)
    flow.request.headers["Upgrade"] = "websocket"
    assert meter.charge(flow) == (10, 20)
    tally.add(1, 2)
    meter.server_disconnected(ServerConnectionHookData(flow.server_conn, flow.client_conn))
    assert [(rest.up_bytes, rest.down_bytes, rest.flows) for rest in told] == [(1, 2, 1)]


def test_other_connections_are_none_of_its_business() -> None:
    flow, told = tflow.tflow(), list[LeftOver]()
    meter = LinkMeter(FakeNear())  # type: ignore[arg-type]
    meter.left_over = told.append
    meter.server_disconnected(ServerConnectionHookData(flow.server_conn, flow.client_conn))
    assert told == []
