"""Subscribers at a running pair, over real sockets: each gets answers on their own terms, and strangers get none."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.access.htpasswd import set_password
from proxy.config import load
from proxy.ledger.pseudonym import load_key, pseudonym
from proxy.ledger.read import Scope, opened
from proxy.subscribers.account import Consent, Quota, Subscriber, networks_of
from proxy.subscribers.forgetting import forget_everywhere
from proxy.subscribers.store import Store
from tests.e2e.certificates import make_authority, make_leaf
from tests.e2e.conftest import BROWSER_ACCEPT, HOST, Link, Loop, Process, start_proxy
from tests.e2e.origin import photo
from tests.e2e.runtime import FakeRuntime

pytestmark = pytest.mark.timeout(400)  # three proxies start, which takes a while on a busy machine
PASSWORD = "correct horse battery"
VERSION = "2026-11"
AGREED = Consent(VERSION, 1_790_000_000.0)
PEOPLE = (
    Subscriber("otto", "off", consent=AGREED),
    Subscriber("fay", "faithful", consent=AGREED),
    Subscriber("eco", "economy", consent=AGREED),
    Subscriber("new", "economy"),  # has not agreed
    Subscriber("old", "economy", consent=Consent("2020-01", 1.0)),  # agreed to another text
    Subscriber("dave", "faithful", quota=Quota(day_bytes=3_000), consent=AGREED),
    Subscriber("zoe", "faithful", quota=Quota(day_bytes=3_000), consent=AGREED),
    Subscriber("gone", "economy", consent=AGREED),
)
NETWORKS = (
    Subscriber("flat", "economy", networks_of(["127.7.0.0/16"])),
    Subscriber("house", "off", networks_of(["127.8.0.0/16"])),
)


class Tap(Link):
    """A link that remembers what went up."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = bytearray()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool) -> None:
        read = reader.read

        async def noting(count: int = -1) -> bytes:
            chunk = await read(count)
            self.heads += chunk if up else b""
            return chunk

        reader.read = noting  # type: ignore[method-assign]
        await super()._pipe(reader, writer, up)

    def tiers(self) -> list[str]:
        """The tiers that upstream was told, and `original` for requests that ask for it, since the last question."""
        heads, self.heads = self.heads.decode("latin-1").lower(), bytearray()
        found = re.findall(r"\r\nsketchwire-(?:accept:[^\r]*?tier=(\w+)|(original): 1)", heads)
        return [tier or original for tier, original in found]


@dataclass
class Edge:
    """Everything the tests talk to; `edge` knows people by password, `street` by address."""

    folder: Path
    tap: Tap
    edge: Process
    street: Process
    http: str
    https: str
    origin_ca: Path

    @property
    def file(self) -> Path:
        return self.folder / "edge" / "subscribers.sqlite"

    def rows(self, name: str) -> list[Any]:
        """What the ledger has about somebody."""
        who = pseudonym(load_key(self.folder / "edge" / "downstream" / "ledger.key"), f"user {name}")
        with opened(self.folder / "edge" / "downstream" / "ledger.sqlite") as ledger:
            return [row for _, row in ledger.each_row(Scope(subscriber=who))]


def origin() -> web.Application:
    """Photographs under any name, so that a path is new to every cache."""

    async def serve(request: web.Request) -> web.StreamResponse:
        if request.path == "/slow":
            answer = web.StreamResponse()
            await answer.prepare(request)
            for _ in range(20):
                await answer.write(b"x" * 1000)
                await asyncio.sleep(0.1)
            return answer
        return web.Response(body=photo("chelsea"), content_type="image/jpeg", headers={"Cache-Control": "no-cache"})

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    return app


def keep(file: Path, people: tuple[Subscriber, ...]) -> None:
    store = Store(file)
    for each in people:
        store.add(each, time.time())
    store.close()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("people")
    with contextlib.ExitStack() as stack:
        loop, tap, runtime = Loop(), Tap(), FakeRuntime()
        stack.callback(loop.close)
        authority = make_authority(folder / "origin-ca.pem")
        ports = loop.serve(origin()), loop.serve(origin(), make_leaf(authority, HOST, folder / "origin.pem"))
        drawing = f"http://127.0.0.1:{loop.serve(runtime.app())}"
        upstream = start_proxy(
            "upstream",
            folder,
            {
                "hosts": [f"{HOST}=127.0.0.1"],
                "allow_private_targets": [f"{HOST}:{port}" for port in ports],
                "origin_ca": str(folder / "origin-ca.pem"),
                "encode_deadline_s": 60.0,
            },
        )
        stack.callback(upstream.stop)
        tap.target_port = upstream.port
        loop.run(tap.start())
        for person in PEOPLE:
            set_password(folder / "users", person.name, PASSWORD)
        set_password(folder / "users", "stranger", PASSWORD)  # a password, but no account
        settings = {"upstream": f"http://127.0.0.1:{tap.port}", "upstream_ca": str(upstream.ca), "runtime": drawing}
        told = {"enabled": True, "consent_version": VERSION, "file": str(folder / "edge" / "subscribers.sqlite")}
        keep(folder / "edge" / "subscribers.sqlite", PEOPLE)
        keep(folder / "street" / "downstream" / "subscribers.sqlite", NETWORKS)
        by_password = start_proxy(
            "downstream",
            folder / "edge",
            settings,
            tables={"subscribers": told, "access": {"proxyauth": str(folder / "users")}},
        )
        stack.callback(by_password.stop)
        by_network = start_proxy(
            "downstream", folder / "street", settings, tables={"subscribers": {"enabled": True, "accounts": "network"}}
        )
        stack.callback(by_network.stop)
        bases = [f"{scheme}://{HOST}:{port}" for scheme, port in zip(("http", "https"), ports, strict=True)]
        yield Edge(folder, tap, by_password, by_network, *bases, folder / "origin-ca.pem")


async def fetch(
    edge: Edge, name: str | None, path: str, *, ca: Path | None = None, via: Process | None = None, source: str = ""
) -> tuple[int, bytes, Any]:
    """What somebody gets; with `ca`, over https, trusting that authority alone."""
    fields = {"Accept": BROWSER_ACCEPT}
    proxy_fields = {}
    if name is not None:
        proxy_fields["Proxy-Authorization"] = "Basic " + base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()
    connector = aiohttp.TCPConnector(local_addr=(source, 0) if source else None)
    how: dict[str, Any] = {"proxy": (via or edge.edge).url}
    if ca is not None:
        how |= {"ssl": ssl.create_default_context(cafile=str(ca)), "proxy_headers": proxy_fields}
    else:
        fields |= proxy_fields
    async with aiohttp.ClientSession(auto_decompress=False, connector=connector) as session:
        base = edge.http if ca is None else edge.https
        async with session.get(base + path, headers=fields, **how) as answer:
            return answer.status, await answer.read(), answer.headers


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.05)


async def hang_up(process: Process) -> None:
    """SIGHUP, until both the configuration and the accounts were looked at."""
    seen = process.log.read_text().count("configuration read again")
    process.popen.send_signal(signal.SIGHUP)
    await until(lambda: process.log.read_text().count("configuration read again") > seen)


async def test_each_gets_their_own_tier(edge: Edge) -> None:
    edge.tap.tiers()
    original = photo("chelsea")
    got = {}
    for name in ("otto", "fay", "eco"):
        status, got[name], _ = await fetch(edge, name, "/same.jpg")
        assert status == 200
    assert edge.tap.tiers() == ["original", "faithful", "economy"]
    assert got["otto"] == original
    assert got["fay"] != original and got["eco"] not in (original, got["fay"])
    await until(lambda: all(edge.rows(name) for name in got))
    link = {name: sum(row.link_bytes for row in edge.rows(name)) for name in got}
    assert link["eco"] < link["fay"] < link["otto"]
    assert {row.decision for row in edge.rows("otto")} <= {"original", "overhead"}


@pytest.mark.parametrize("name", ["new", "old"])
async def test_without_consent_nothing_is_changed_nor_opened(edge: Edge, name: str) -> None:
    edge.tap.tiers()
    assert (await fetch(edge, name, "/plain.jpg"))[:2] == (200, photo("chelsea"))
    assert edge.tap.tiers() == ["original"]
    assert (await fetch(edge, name, "/sealed.jpg", ca=edge.origin_ca))[:2] == (200, photo("chelsea")), (
        "origin's own TLS"
    )
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await fetch(edge, name, "/sealed.jpg", ca=edge.edge.ca)
    status, body, _ = await fetch(edge, "eco", "/sealed.jpg", ca=edge.edge.ca)
    assert status == 200 and body != photo("chelsea"), "who agreed is served inside of TLS"


async def test_consent_counts_from_the_next_request_and_can_be_taken_back(edge: Edge) -> None:
    store = Store(edge.file)
    before = edge.edge.log.read_text().count("accounts read again")
    store.consent("new", Consent(VERSION, time.time()), given=True)
    await until(lambda: edge.edge.log.read_text().count("accounts read again") > before)
    edge.tap.tiers()
    await fetch(edge, "new", "/agreed.jpg")
    store.consent("new", Consent(VERSION, time.time()), given=False)
    await until(lambda: edge.edge.log.read_text().count("accounts read again") > before + 1)
    await fetch(edge, "new", "/agreed.jpg")
    store.close()
    assert edge.tap.tiers() == ["economy", "original"]


async def test_strangers_are_turned_away(edge: Edge) -> None:
    for name, expected in ((None, 407), ("nobody", 407), ("stranger", 403)):
        status, body, _ = await fetch(edge, name, "/strange.jpg")
        assert status == expected and b"Sketchwire" in body
        with pytest.raises(aiohttp.ClientHttpProxyError) as refused:
            await fetch(edge, name, "/strange.jpg", ca=edge.origin_ca)
        assert refused.value.status == expected


async def test_a_quota_that_is_used_up_lowers_the_tier(edge: Edge) -> None:
    edge.tap.tiers()
    assert (await fetch(edge, "dave", "/first.jpg"))[0] == 200
    assert edge.tap.tiers() == ["faithful"]
    await until(lambda: bool(edge.rows("dave")))
    status, body, _ = await fetch(edge, "dave", "/first.jpg")
    assert status == 200 and edge.tap.tiers() == ["economy"]
    assert body == (await fetch(edge, "eco", "/first.jpg"))[1]

    def booked() -> int:
        return sum(row.link_bytes + row.refetch_bytes for row in edge.rows("dave"))

    await until(lambda: sum(_use(edge, "dave").values()) == booked() >= 3_000)


def _use(edge: Edge, name: str) -> dict[str, int]:
    store = Store(edge.file)
    try:
        return store.use([name]).get(name, {})
    finally:
        store.close()


async def test_or_ends_the_service_with_a_page_and_flows_outlive_the_change(edge: Edge) -> None:
    config = edge.folder / "edge" / "downstream.toml"
    written = config.read_text()
    assert (await fetch(edge, "zoe", "/second.jpg"))[0] == 200
    await until(lambda: bool(edge.rows("zoe")))
    slow = asyncio.create_task(fetch(edge, "fay", "/slow"))
    await asyncio.sleep(0.3)
    config.write_text(written.replace("[subscribers]", '[subscribers]\nwhen_used_up = "refuse"'))
    await hang_up(edge.edge)
    edge.tap.tiers()
    status, body, headers = await fetch(edge, "zoe", "/second.jpg")
    assert status == 429 and b"used up for today" in body and 0 < int(headers["Retry-After"]) <= 86_400
    status, body, _ = await fetch(edge, "zoe", "/second.jpg", ca=edge.edge.ca)
    assert status == 429 and b"used up for today" in body, "readable inside of TLS"
    assert edge.tap.tiers() == [] and (await fetch(edge, "fay", "/second.jpg"))[0] == 200
    assert len((await slow)[1]) == 20_000
    config.write_text(written)
    await hang_up(edge.edge)
    assert (await fetch(edge, "zoe", "/second.jpg"))[0] == 200


async def test_a_sealed_tunnel_does_not_get_around_a_quota(edge: Edge) -> None:
    """Zoe's used-up quota, with TLS to a host that is left alone: bytes must not pass."""
    config = edge.folder / "edge" / "downstream.toml"
    written = config.read_text()
    bypass = edge.folder / "bypass.toml"
    bypass.write_text(f'tests = ["{HOST}"]\n')
    changed = written.replace("[subscribers]", '[subscribers]\nwhen_used_up = "refuse"')
    config.write_text(changed.replace("[access]", f'[access]\nbypass_file = "{bypass}"'))
    await hang_up(edge.edge)
    assert (await fetch(edge, "fay", "/third.jpg", ca=edge.origin_ca))[:2] == (200, photo("chelsea"))
    before = edge.tap.total_bytes
    with pytest.raises((aiohttp.ClientError, ssl.SSLError, OSError)):
        await fetch(edge, "zoe", "/third.jpg", ca=edge.origin_ca)
    assert edge.tap.total_bytes == before
    config.write_text(written)
    await hang_up(edge.edge)


async def test_addresses_tell_who_is_who(edge: Edge) -> None:
    edge.tap.tiers()
    _, drawn, _ = await fetch(edge, None, "/by-address.jpg", via=edge.street, source="127.7.1.2")
    _, left, _ = await fetch(edge, None, "/by-address.jpg", via=edge.street, source="127.8.1.2")
    assert edge.tap.tiers() == ["economy", "original"] and drawn != left == photo("chelsea")
    assert (await fetch(edge, None, "/by-address.jpg", via=edge.street, source="127.9.1.2"))[0] == 403
    with pytest.raises(aiohttp.ClientHttpProxyError):
        await fetch(edge, None, "/x.jpg", via=edge.street, source="127.9.1.2", ca=edge.origin_ca)
    key = load_key(edge.folder / "street" / "downstream" / "ledger.key")
    names = {pseudonym(key, f"user {name}") for name in ("flat", "house")}

    def known() -> set[str]:
        with opened(edge.folder / "street" / "downstream" / "ledger.sqlite") as ledger:
            return {row.subscriber for _, row in ledger.each_row()}

    await until(lambda: names <= known())


async def test_who_is_forgotten_is_gone_everywhere(edge: Edge) -> None:
    assert (await fetch(edge, "gone", "/last.jpg"))[0] == 200
    await until(lambda: bool(edge.rows("gone")))
    config = load(edge.folder / "edge" / "downstream.toml")
    found = await asyncio.to_thread(forget_everywhere, config, "gone")
    assert found.account and found.password and found.rows >= 1
    assert edge.rows("gone") == [] and "gone:" not in (edge.folder / "users").read_text()
    await hang_up(edge.edge)
    assert (await fetch(edge, "gone", "/last.jpg"))[0] == 407
    assert (await fetch(edge, "eco", "/last.jpg"))[0] == 200, "the others are not"
    with pytest.raises(ValueError, match="known nowhere"):
        await asyncio.to_thread(forget_everywhere, config, replace(PEOPLE[0], name="nobody").name)
