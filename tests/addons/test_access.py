from __future__ import annotations

import base64

import pytest
from mitmproxy import http

from addons.access import Bounds, PairedOnly, Passwords, ShowToken
from proxy.access.htpasswd import Users, hashed
from proxy.access.limits import RequestLimits
from proxy.access.pairing import Tokens
from tests.addons.flows import request

TOKENS = Tokens(("a" * 43, "b" * 43))
ALICE = Users({"alice": hashed("correct horse")})


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def status(flow: http.HTTPFlow) -> int | None:
    return flow.response.status_code if flow.response else None


def test_a_token_is_shown_to_upstream_and_to_nobody_else() -> None:
    addon, plain, secure = ShowToken(TOKENS), request(), request()
    secure.request.scheme = "https"
    tunnelled = request(Proxy_Authorization="Basic eDp5")
    addon.http_connect(tunnelled)
    for flow in (plain, secure, tunnelled):
        addon.requestheaders(flow)
    shown = [flow.request.headers.get("Proxy-Authorization") for flow in (plain, secure, tunnelled)]
    assert shown == [TOKENS.header, None, None]
    connect = request(method="CONNECT")
    addon.http_connect_upstream(connect)
    assert connect.request.headers["Proxy-Authorization"] == TOKENS.header
    nobody = request(Proxy_Authorization="Basic eDp5")
    ShowToken(None).requestheaders(nobody)
    assert "Proxy-Authorization" not in nobody.request.headers


def test_a_tunnel_is_admitted_once_and_the_field_goes_no_further() -> None:
    addon, connect, inside = PairedOnly(TOKENS), request(method="CONNECT", Proxy_Authorization=TOKENS.header), request()
    inside.client_conn = connect.client_conn
    addon.http_connect(connect)
    addon.requestheaders(inside)
    assert status(connect) is None and status(inside) is None and "Proxy-Authorization" not in connect.request.headers
    stranger = request()
    addon.requestheaders(stranger)
    assert status(stranger) == 407
    addon.tokens = Tokens(("c" * 43,))
    late = request(Proxy_Authorization=TOKENS.header)
    addon.requestheaders(late)
    assert status(late) == 407, "it was rotated out"


def test_large_bodies_of_strangers_are_not_read() -> None:
    flow = request(method="POST", Content_Length="10000000")
    PairedOnly(TOKENS).requestheaders(flow)
    assert flow.response is None and flow.error is not None


async def test_users_are_let_in_by_their_password() -> None:
    addon = Passwords(ALICE)
    right, wrong, none = (
        request(Proxy_Authorization=basic("alice", "correct horse")),
        request(Proxy_Authorization=basic("alice", "wrong horse")),
        request(),
    )
    for flow in (right, wrong, none):
        await addon.requestheaders(flow)
    assert [status(flow) for flow in (right, wrong, none)] == [None, 407, 407]
    assert "Proxy-Authorization" not in right.request.headers and addon.who(right.client_conn, right) == "user alice"
    again = request(Proxy_Authorization=basic("alice", "correct horse"))
    addon.set_users(Users({"bob": hashed("another horse")}))
    await addon.requestheaders(again)
    assert status(again) == 407, "what was remembered ends with the user"


async def test_who_guesses_is_stopped_before_the_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[str] = []
    monkeypatch.setattr(Users, "check", lambda self, name, password: bool(checks.append(password)))
    addon = Passwords(ALICE)
    for number in range(20):
        flow = request(Proxy_Authorization=basic("alice", f"guess {number}"))
        await addon.requestheaders(flow)
        assert status(flow) == 407
    assert len(checks) == 8


@pytest.mark.parametrize("shown", ["", "Basic", "Basic ???", "Basic YWxpY2U=", "Bearer x", "Basic /////w=="])
async def test_what_is_no_password(shown: str) -> None:
    flow = request(Proxy_Authorization=shown)
    await Passwords(ALICE).requestheaders(flow)
    assert status(flow) == 407


def test_bounds_come_with_a_status() -> None:
    flow = request(method="TRACE")
    Bounds(RequestLimits()).requestheaders(flow)
    assert status(flow) == 405
