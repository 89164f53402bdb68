from __future__ import annotations

import asyncio
import contextvars

import pytest
from mitmproxy.connection import Client, Server
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.test import tflow

from addons.guard import TargetGuard, install
from addons.tether import Tether
from proxy.targets import Targets
from tests.addons.flows import request

PUBLIC = "93.184.215.14"


class Resolver:
    """Answers each question with the next list of addresses."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if not self.answers:
            raise OSError("no such name")
        return self.answers.pop(0)


def connecting(host: str, port: int = 80, transport: str = "tcp") -> ServerConnectionHookData:
    client: Client = tflow.tclient_conn()
    return ServerConnectionHookData(
        server=Server(address=(host, port), transport_protocol=transport),  # type: ignore[arg-type]
        client=client,
    )


@pytest.mark.parametrize(
    ("addresses", "refused"), [([PUBLIC], False), (["127.0.0.1"], True), (["10.0.0.1", PUBLIC], False), ([], True)]
)
async def test_connections_are_judged_by_what_the_name_resolves_to(addresses: list[str], refused: bool) -> None:
    data = connecting("site.test")
    await TargetGuard(Targets(), Resolver(addresses)).server_connect(data)
    assert bool(data.server.error) is refused
    assert data.server.address == ("site.test", 80), "mitmproxy reuses connections by this address"


async def test_unresolvable_names_odd_transports_and_defects_are_refused() -> None:
    async def defect(host: str, port: int) -> list[str]:
        raise ValueError("boom")

    for guard, data in (
        (TargetGuard(Targets(), Resolver()), connecting("site.test")),
        (TargetGuard(Targets(), Resolver([PUBLIC])), connecting("site.test", 443, "udp")),
        (TargetGuard(Targets(), Resolver([PUBLIC])), connecting("site.test", 25)),
        (TargetGuard(Targets(), defect), connecting("site.test")),
    ):
        await guard.server_connect(data)
        assert data.server.error


async def test_a_name_that_changes_its_address_is_connected_to_as_judged() -> None:
    """DNS rebinding: public when judged, private a moment later."""
    loop = asyncio.get_running_loop()
    resolver = Resolver([PUBLIC], ["127.0.0.1"])
    guard = TargetGuard(Targets(), resolver)
    original = loop.getaddrinfo
    try:
        install(loop)
        install(loop)

        async def connect() -> list[str]:
            data = connecting("rebinding.test")
            await guard.server_connect(data)
            assert not data.server.error
            found = await loop.getaddrinfo("rebinding.test", 80, type=1)
            return [str(entry[4][0]) for entry in found]

        assert await asyncio.create_task(connect()) == [PUBLIC]
        assert resolver.asked == ["rebinding.test"]
        elsewhere = await asyncio.create_task(loop.getaddrinfo("127.0.0.1", 80), context=contextvars.Context())
        assert elsewhere[0][4][0] == "127.0.0.1", "other tasks resolve as ever"
    finally:
        loop.getaddrinfo = original  # type: ignore[method-assign]


async def test_fixed_addresses_need_no_resolver() -> None:
    resolver = Resolver()
    targets = Targets.configured(("demo.test:80",), ("demo.test=127.0.0.1",))
    data = connecting("demo.test")
    await TargetGuard(targets, resolver).server_connect(data)
    assert not data.server.error and resolver.asked == []


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("http://127.0.0.1/", True),
        ("http://[::1]:8080/", True),
        ("http://169.254.169.254/latest/", True),
        ("http://site.test:22/", True),
        ("http://site.test/", False),
        (f"http://{PUBLIC}:8080/", False),
    ],
)
def test_requests_are_refused_early_where_no_name_needs_resolving(url: str, refused: bool) -> None:
    for hook in ("requestheaders", "http_connect"):
        flow = request()
        flow.request.url = url
        getattr(TargetGuard(Targets()), hook)(flow)
        assert (flow.response is not None and flow.response.status_code == 403) is refused
        if flow.response is not None:
            assert b"allow_private_targets" in (flow.response.content or b"")


@pytest.mark.parametrize(
    ("upstream", "allowed"),
    [
        ("http://10.0.0.1:8081", ("10.0.0.1", 8081)),
        ("http://up.test", ("up.test", 80)),
        ("https://up.test", ("up.test", 443)),
        ("http://[::1]:8081", ("::1", 8081)),
    ],
)
def test_downstream_connects_to_upstream_only(upstream: str, allowed: tuple[str, int]) -> None:
    tether = Tether(upstream)
    for address in (allowed, ("site.test", 80), (allowed[0], 9)):
        data = connecting(*address)
        tether.server_connect(data)
        assert bool(data.server.error) is (address != allowed)
