"""The pair joined by the link: what a chain does, with one connection, and what only the link does.

The proxies are processes as everywhere in these tests; between the link's ends is a forwarder that counts and cuts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from proxy.link import keys
from proxy.link.pairing import pair_here
from proxy.link.peers import Peers
from proxy.link.secure import client_context, stranger_context
from tests.e2e.certificates import make_authority, make_leaf
from tests.e2e.conftest import HOST, Link, Loop, Process, start_proxy
from tests.e2e.origin import BIG_BYTES, Origin, photo

PAGE_ACCEPT = {"Accept": "text/html,*/*;q=0.8"}


@dataclass
class Linked:
    """A pair joined by the link; `wire` is between its ends."""

    loop: Loop
    origin: Origin
    wire: Link
    upstream: Process
    downstream: Process
    http: str
    https: str
    folder: Path


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Linked]:
    with contextlib.ExitStack() as stack:
        yield start_linked(tmp_path_factory.mktemp("linked"), stack)


def start_linked(folder: Path, stack: contextlib.ExitStack) -> Linked:
    loop, origin, wire = Loop(), Origin(), Link()
    stack.callback(loop.close)
    authority = make_authority(folder / "origin-ca.pem")
    http_port = loop.serve(origin.app())
    https_port = loop.serve(origin.app(), make_leaf(authority, HOST, folder / "origin.pem"))
    places = folder / "upstream" / "link", folder / "downstream" / "link"
    pair_here(*places)
    settings = {
        "hosts": [f"{HOST}=127.0.0.1"],
        "allow_private_targets": [f"{HOST}:{http_port}", f"{HOST}:{https_port}"],
        "origin_ca": str(folder / "origin-ca.pem"),
        "link": "h2",
        "link_port": 0,
    }
    upstream = start_proxy("upstream", folder, settings)
    stack.callback(upstream.stop)
    wire.target_port = int(upstream.ready["link_port"])
    loop.run(wire.start())
    stack.callback(lambda: loop.run(wire.cut()))
    downstream = start_proxy(
        "downstream",
        folder,
        {
            "link": "h2",
            "link_upstream": f"127.0.0.1:{wire.port}",
            "upstream_ca": str(upstream.ca),
            "runtime": "",
            "link_repeat_bytes": 1024 * 1024,
        },
    )
    stack.callback(downstream.stop)
    http, https = f"http://{HOST}:{http_port}", f"https://{HOST}:{https_port}"
    return Linked(loop, origin, wire, upstream, downstream, http, https, folder)


@pytest.fixture
async def browser(linked: Linked) -> AsyncIterator[aiohttp.ClientSession]:
    linked.origin.log.clear()
    trust = ssl.create_default_context(cafile=str(linked.downstream.ca))
    session = aiohttp.ClientSession(
        proxy=linked.downstream.url,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(ssl=trust),
    )
    async with session:
        yield session


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_pages_and_pictures(linked: Linked, browser: aiohttp.ClientSession, scheme: str) -> None:
    site = getattr(linked, scheme)
    async with browser.get(site + "/", headers=PAGE_ACCEPT) as answer:
        assert answer.status == 200 and b"Morning" in await answer.read()
        assert not [name for name in answer.headers if name.lower().startswith("sketchwire")]
    async with browser.get(site + "/alpha.png", headers=PAGE_ACCEPT) as answer:
        body = await answer.read()
    seen = linked.origin.log[-1]
    assert body[:4] == b"\x89PNG" and seen.headers["Host"] == site.partition("://")[2]
    assert not [name for name in seen.headers if name.lower().startswith(("sketchwire", "proxy", "~"))]


async def test_one_connection_carries_everything(linked: Linked, browser: aiohttp.ClientSession) -> None:
    before = linked.loop.run(connections(linked.wire))
    answers = await asyncio.gather(*(fetch(browser, f"{linked.https}/plain.jpg?{n}") for n in range(12)))
    assert {status for status, _ in answers} == {200}
    assert linked.loop.run(connections(linked.wire)) == before == 1


async def test_large_bodies_pass_in_both_directions(linked: Linked, browser: aiohttp.ClientSession) -> None:
    assert len((await fetch(browser, linked.https + "/big.bin"))[1]) == BIG_BYTES
    for site in (linked.http, linked.https):
        async with browser.post(site + "/echo", data=bytes(900_000)) as answer:
            assert await answer.text() == "POST 900000"
        async with browser.post(site + "/echo", data=pieces()) as answer:
            assert await answer.text() == "POST 300000"
        async with browser.post(site + "/echo") as answer:
            assert await answer.text() == "POST 0"


async def test_answers_without_bodies(linked: Linked, browser: aiohttp.ClientSession) -> None:
    async with browser.head(linked.https + "/plain.jpg", headers=PAGE_ACCEPT) as answer:
        assert answer.status == 200 and answer.headers["Content-Length"] == str(len(photo()))
    async with browser.get(linked.https + "/tagged.jpg", headers=PAGE_ACCEPT | {"If-None-Match": '"t1"'}) as answer:
        assert answer.status == 304 and await answer.read() == b""
    async with browser.get(linked.https + "/plain.jpg", headers=PAGE_ACCEPT | {"Range": "bytes=100-199"}) as answer:
        assert answer.status == 206 and await answer.read() == photo()[100:200]


async def test_event_streams_pass_at_once_and_end_with_the_browser(
    linked: Linked, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(linked.https + "/events") as it:
        assert await asyncio.wait_for(it.content.readline(), 5) == b"data: first\n"


async def test_websockets(linked: Linked, browser: aiohttp.ClientSession) -> None:
    async with browser.ws_connect(linked.https.replace("http", "ws", 1) + "/socket") as socket:
        await socket.send_str("hello")
        assert (await asyncio.wait_for(socket.receive(), 10)).data == "echo hello"


async def test_websockets_over_plain_http(linked: Linked) -> None:
    host = linked.http.removeprefix("http://")
    reader, writer = await asyncio.open_connection("127.0.0.1", linked.downstream.port)
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    writer.write(f"GET {linked.http}/socket HTTP/1.1\r\nHost: {host}\r\n{upgrade}{key}\r\n".encode())
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).startswith(b"HTTP/1.1 101 ")
    writer.write(bytes((0x81, 0x82, 0, 0, 0, 0)) + b"hi")
    assert await asyncio.wait_for(reader.readexactly(9), 10) == b"\x81\x07echo hi"
    writer.close()


async def test_dead_origin_gives_a_502(linked: Linked, browser: aiohttp.ClientSession) -> None:
    async with browser.get(f"http://nowhere.demo.test:{linked.wire.port}/") as answer:
        assert answer.status == 502 and b"Sketchwire" in await answer.read()


async def test_a_body_both_ends_hold_crosses_once(linked: Linked, browser: aiohttp.ClientSession) -> None:
    url = linked.https + "/no-transform.jpg"
    first = await fetch(browser, url)
    crossed = linked.wire.total_bytes
    again = await fetch(browser, url)
    assert first[1] == again[1] == photo()
    assert linked.wire.total_bytes - crossed < 600
    assert [seen.path for seen in linked.origin.log] == ["/no-transform.jpg"] * 2, "the origin is asked each time"


async def test_cut_connections_never_give_a_wrong_byte(linked: Linked, browser: aiohttp.ClientSession) -> None:
    """Under load the link is cut at random moments, so that about a third of its connections end early."""
    wanted = hashlib.sha256(photo()).digest()
    outcomes: list[str] = []
    stop = asyncio.Event()

    async def cut() -> None:
        chance = random.Random(3)
        while not stop.is_set():
            await asyncio.sleep(0.2)
            if chance.random() < 0.3:
                for writer in list(linked.wire._writers):
                    linked.loop.loop.call_soon_threadsafe(writer.transport.abort)

    async def ask(n: int) -> None:
        try:
            async with asyncio.timeout(30):
                status, body = await fetch(browser, f"{linked.https}/plain.jpg?cut={n}")
        except (aiohttp.ClientError, OSError) as error:
            assert not isinstance(error, TimeoutError), "no hang"
            outcomes.append("broken")
            return
        if status == 200:
            assert hashlib.sha256(body).digest() == wanted
        outcomes.append("whole" if status == 200 else "refused")

    cutting = asyncio.create_task(cut())
    for group in range(6):
        await asyncio.gather(*(ask(group * 10 + n) for n in range(10)))
    stop.set()
    await cutting
    assert len(outcomes) == 60 and outcomes.count("whole") >= 20
    async with asyncio.timeout(20):
        while (await fetch(browser, linked.https + "/plain.jpg?after"))[0] != 200:
            await asyncio.sleep(0.2)


async def test_dead_link_gives_a_page_that_says_so_and_comes_back(
    linked: Linked, browser: aiohttp.ClientSession
) -> None:
    linked.loop.run(linked.wire.cut())
    try:
        status, body = await fetch(browser, linked.https + "/plain.jpg?dead")
        assert status == 502 and b"upstream proxy cannot be reached" in body
        assert linked.origin.log == []
    finally:
        linked.loop.run(linked.wire.start())
    async with asyncio.timeout(20):
        while (await fetch(browser, linked.https + "/plain.jpg?alive"))[0] != 200:
            await asyncio.sleep(0.2)


async def test_strangers_and_revoked_clients_get_a_closed_connection(linked: Linked, tmp_path: Path) -> None:
    place = linked.folder / "upstream" / "link"
    paired = Peers(place).all()
    stranger = keys.load_or_make(tmp_path)
    far = keys.load_or_make(place)
    contexts = [client_context(stranger.certificate, stranger.private, [far.pem]), stranger_context()]
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    plain.check_hostname, plain.verify_mode = False, ssl.CERT_NONE
    for context in (*contexts, plain):
        assert await said_to(linked.wire.port, context) == b""
    assert await said_to(linked.wire.port, None) == b""
    assert Peers(place).all() == paired


async def test_revocation_ends_what_is_open(linked: Linked, browser: aiohttp.ClientSession) -> None:
    place = linked.folder / "upstream" / "link"
    near = keys.load_or_make(linked.folder / "downstream" / "link")
    assert (await fetch(browser, linked.https + "/plain.jpg?before"))[0] == 200
    assert Peers(place).forget(near.fingerprint[:16])
    try:
        async with asyncio.timeout(45):
            while (await fetch(browser, linked.https + "/plain.jpg?revoked"))[0] != 502:
                await asyncio.sleep(0.2)
        context = client_context(near.certificate, near.private, [keys.load_or_make(place).pem])
        assert await said_to(linked.wire.port, context) == b""
    finally:
        Peers(place).add("again", near.pem)
    async with asyncio.timeout(60):
        while (await fetch(browser, linked.https + "/plain.jpg?paired"))[0] != 200:
            await asyncio.sleep(0.5)


async def fetch(browser: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    async with browser.get(url, headers=PAGE_ACCEPT) as answer:
        return answer.status, await answer.read()


async def connections(wire: Link) -> int:
    return len(wire._writers) // 2


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(10):
        yield bytes(30_000)


async def said_to(port: int, context: ssl.SSLContext | None) -> bytes:
    """What the far end says to somebody, beyond the handshake, until it closes."""
    try:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9) + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return await reader.read() if context else alert(await reader.read())
    except (ssl.SSLError, ConnectionError):
        return b""


def alert(data: bytes) -> bytes:
    """What is said in plaintext, but for a TLS alert."""
    return b"" if data[:1] == b"\x15" and len(data) == 7 else data
