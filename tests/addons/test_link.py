"""The addon that joins the downstream proxy to the near end of the link."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from mitmproxy import http
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.test import tflow

from addons.link import BYTES, LinkReturn, LinkRoute
from proxy.link.meter import Tally


@dataclass
class FakeNear:
    ports: list[int] = field(default_factory=lambda: [5001, 5002])

    def tally(self, number: str) -> Tally | None:
        return Tally(10, 20) if number == "7" else None


def secure_flow(http2: bool = False) -> http.HTTPFlow:
    flow = tflow.tflow()
    flow.request = http.Request.make("GET", "https://example.org:8443/x?y", headers={"Host": "example.org:8443"})
    flow.request.http_version = "HTTP/2.0" if http2 else "HTTP/1.1"
    flow.server_conn.via = ("http", ("127.0.0.1", 5001))
    return flow


def test_a_decrypted_request_goes_to_the_near_end_and_comes_back_as_it_was() -> None:
    route, flow = LinkRoute(FakeNear()), secure_flow()  # type: ignore[arg-type]
    route.requestheaders(flow)
    assert (flow.request.host, flow.request.port, flow.request.scheme) == ("127.0.0.1", 5001, "http")
    assert flow.server_conn.via is None and not flow.server_conn.tls
    assert flow.request.headers["Sketchwire-Link-To"] == "https://example.org:8443"
    assert flow.request.headers["Host"] == "example.org:8443"
    flow.response = http.Response.make(200, b"x", {"Sketchwire-Link-Bytes": "up=1;down=2;id=7"})
    LinkReturn().responseheaders(flow)
    assert flow.request.url == "https://example.org:8443/x?y" and "Sketchwire-Link-To" not in flow.request.headers
    route.response(flow)
    assert flow.metadata[BYTES] == (10, 20)


def test_failed_flows_have_their_address_too() -> None:
    flow = secure_flow()
    LinkRoute(FakeNear()).requestheaders(flow)  # type: ignore[arg-type]
    LinkReturn().error(flow)
    assert flow.request.pretty_url == "https://example.org:8443/x?y"


def test_a_browser_with_http2_gets_many_ports() -> None:
    route = LinkRoute(FakeNear())  # type: ignore[arg-type]
    flows = [secure_flow(http2=True) for _ in range(4)]
    for flow in flows:
        route.requestheaders(flow)
    assert [flow.request.port for flow in flows] == [5001, 5002, 5001, 5002]


def test_a_browser_cannot_name_another_target() -> None:
    flow = secure_flow()
    flow.request.headers["Sketchwire-Link-To"] = "https://elsewhere.example:443;c=00"
    LinkRoute(FakeNear()).requestheaders(flow)  # type: ignore[arg-type]
    assert flow.request.headers.get_all("Sketchwire-Link-To") == ["https://example.org:8443"]


def test_websockets_and_answered_flows_are_left_alone() -> None:
    route, socket, answered = LinkRoute(FakeNear()), secure_flow(), secure_flow()  # type: ignore[arg-type]
    socket.request.headers["Upgrade"] = "websocket"
    answered.response = http.Response.make(304)
    for flow in (socket, answered):
        route.requestheaders(flow)
        assert flow.request.host == "example.org" and flow.server_conn.via is not None


@pytest.mark.parametrize(
    ("address", "allowed"), [(("127.0.0.1", 5002), True), (("127.0.0.1", 80), False), (None, False)]
)
def test_downstream_connects_to_the_near_end_only(address: tuple[str, int] | None, allowed: bool) -> None:
    flow = tflow.tflow()
    flow.server_conn = type(flow.server_conn)(address=address)
    data = ServerConnectionHookData(flow.server_conn, flow.client_conn)
    LinkRoute(FakeNear()).server_connect(data)  # type: ignore[arg-type]
    assert (data.server.error is None) == allowed
