"""When parts fail, browsing goes on: previews, originals, clear errors, and never a way around the upstream proxy."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable

import aiohttp
import pytest

from proxy.bundle import MEDIA_TYPE
from proxy.headers import Headers
from proxy.refetch import Refetcher
from tests.e2e.conftest import HOST, Browse, World, start_proxy
from tests.e2e.origin import BIG_BYTES, photo
from tests.e2e.test_pair_images import is_preview, is_reconstruction


@pytest.mark.parametrize("ill", ["gone", "busy", "wrong-size", "garbage", "slow"])
async def test_sick_runtime_means_previews_that_nobody_stores(world: World, browse: Browse, ill: str) -> None:
    world.runtime.ill = ill
    answer = await browse(world.http + "/photo.jpg")
    assert is_preview(answer) and answer.headers["Cache-Control"] == "no-store" and "ETag" not in answer.headers
    world.runtime.behave()
    assert is_reconstruction(await browse(world.http + "/photo.jpg")), "the runtime is well again"


async def test_dead_upstream_gives_a_page_that_says_so_and_the_origin_is_left_alone(
    world: World, browse: Browse
) -> None:
    await world_run(world, world.link.cut())
    try:
        for url in (world.http + "/photo.jpg", world.https + "/photo.jpg", world.http + "/"):
            answer = await browse(url)
            assert answer.status == 502 and b"upstream proxy cannot be reached" in answer.body
        assert world.origin.log == []
    finally:
        await world_run(world, world.link.start())
    assert is_reconstruction(await browse(world.http + "/photo.jpg"))


async def test_dead_origin_gives_a_502(world: World, browse: Browse) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answer = await browse(f"http://nowhere.demo.test:{port}/")
    assert answer.status == 502 and b"Sketchwire" in answer.body


async def test_event_streams_pass_at_once(world: World, browse: Browse) -> None:
    began, via = time.monotonic(), world.downstream.url
    async with aiohttp.ClientSession() as session, session.get(world.http + "/events", proxy=via) as it:
        first = await asyncio.wait_for(it.content.readline(), 5)
    assert first == b"data: first\n" and time.monotonic() - began < 5


async def test_large_bodies_pass_in_both_directions(world: World, browse: Browse) -> None:
    answer = await browse(world.http + "/big.bin", image=False)
    assert len(answer.body) == BIG_BYTES
    upload = {"data": bytes(900_000), "proxy": world.downstream.url}
    async with aiohttp.ClientSession() as session, session.post(world.http + "/echo", **upload) as posted:
        assert await posted.text() == "POST 900000"


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{port}/",
        "http://private.demo.test:{port}/",
        "http://localhost:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://2130706433:{port}/",
        "http://news.demo.test:22/",
        "http://news.demo.test:6379/",
    ],
)
async def test_private_targets_are_refused(world: World, browse: Browse, target: str) -> None:
    for via in (world.downstream, world.upstream):
        answer = await browse(target.format(port=world.http_port), via=via, image=False)
        assert answer.status in (403, 502) and b"does not connect there" in answer.body
    assert world.origin.log == []


async def test_private_tunnels_are_refused(world: World, browse: Browse) -> None:
    with pytest.raises(aiohttp.ClientError):
        await browse(f"https://127.0.0.1:{world.https_port}/", via=world.upstream)
    assert world.origin.log == []


async def test_loops_are_ended(world: World, browse: Browse) -> None:
    await browse(world.http + "/photo.jpg")
    mark = world.origin.log[-1].headers["CDN-Loop"]
    assert (await browse(world.http + "/photo.jpg", via=world.upstream, CDN_Loop=mark)).status == 508
    assert (await browse(world.http + "/photo.jpg", via=world.upstream, Via=f"1.1 {mark}")).status == 508
    assert (await browse(world.http + "/photo.jpg", via=world.upstream, CDN_Loop="another")).body == photo()


async def test_revalidation(world: World, browse: Browse) -> None:
    shown = await browse(world.http + "/photo.jpg", Cookie="fresh=1")
    tag = shown.headers["ETag"]
    asked, crossed = len(world.origin.log), world.link.total_bytes
    again = await browse(world.http + "/photo.jpg", Cookie="fresh=1", If_None_Match=tag)
    assert again.status == 304 and again.headers["ETag"] == tag
    assert len(world.origin.log) == asked and world.link.total_bytes == crossed, "fresh: nothing crosses the link"


async def test_revalidation_reaches_the_origin_with_its_own_tag(world: World, browse: Browse) -> None:
    tag = (await browse(world.http + "/tagged.jpg")).headers["ETag"]
    again = await browse(world.http + "/tagged.jpg", If_None_Match=tag)
    assert again.status == 304 and again.headers["ETag"] == tag
    assert again.headers["Cache-Control"] == "private, no-cache"
    assert world.origin.log[-1].headers["If-None-Match"] == '"t1"'


async def test_who_did_not_ask_is_not_told_that_a_reconstruction_is_current(world: World, browse: Browse) -> None:
    tag = (await browse(world.http + "/tagged.jpg")).headers["ETag"]
    original = await browse(world.http + "/tagged.jpg", If_None_Match=tag, Sketchwire_Original="1")
    assert original.status == 200 and original.body == photo()
    straight = await browse(world.http + "/tagged.jpg", via=world.upstream, If_None_Match=tag)
    assert straight.status == 200 and straight.body == photo()


async def test_image_without_a_tag_is_confirmed_while_fresh(world: World, browse: Browse) -> None:
    tag = (await browse(world.http + "/plain.jpg", Cookie="x=1")).headers["ETag"]
    asked = len(world.origin.log)
    assert (await browse(world.http + "/plain.jpg", Cookie="x=1", If_None_Match=tag)).status == 304
    assert len(world.origin.log) == asked
    assert (await browse(world.http + "/plain.jpg", Cookie="x=2", If_None_Match=tag)).status == 200


class Http2First(ssl.SSLContext):
    """Prefers HTTP/2 as browsers do; httpx names it last."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        super().set_alpn_protocols(sorted(alpn_protocols))


async def test_http2_browser(world: World) -> None:
    httpx = pytest.importorskip("httpx")
    trust = Http2First(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(world.downstream.ca)
    async with httpx.AsyncClient(http2=True, timeout=60, proxy=world.downstream.url, verify=trust) as client:
        urls = [*(f"{world.https}/photo.jpg?{n}" for n in range(6)), world.https + "/not-there", world.https + "/"]
        answers = await asyncio.gather(*(client.get(url, headers={"Accept": "image/webp,*/*"}) for url in urls))
    assert [answer.status_code for answer in answers] == [200] * 6 + [404, 200]
    assert {answer.http_version for answer in answers} == {"HTTP/2"}
    assert all(answer.headers["content-type"] == "image/webp" for answer in answers[:6])


@pytest.mark.parametrize("via", ["downstream", "upstream"])
async def test_a_connection_that_failed_once_is_tried_anew(world: World, via: str) -> None:
    """Over the same HTTP/2 connection, which a browser keeps for as long as it is open."""
    httpx = pytest.importorskip("httpx")
    proxy = getattr(world, via)
    trust = Http2First(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(proxy.ca)
    fails = world.link if via == "downstream" else world.secure_origin
    async with httpx.AsyncClient(http2=True, timeout=60, proxy=proxy.url, verify=trust) as client:
        for ill in ("is_breaking", "is_dead"):
            setattr(fails, ill, True)
            try:
                url = f"{world.https}/?{ill}"
                failed = await client.get(url)
            finally:
                setattr(fails, ill, False)
            assert (failed.status_code, failed.http_version) == (502, "HTTP/2"), ill
            assert (await client.get(url)).status_code == 200, ill
            await world_run(world, fails.hang_up())


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_original_behind_a_failed_bundle_comes_through_upstream(
    world: World, browse: Browse, scheme: str
) -> None:
    url, asking = f"{getattr(world, scheme)}/once.jpg", f"v=1;engine=preview;nonce={'0' * 16};client={'ab' * 6}"
    world.origin.once_served = False
    made = await browse(url, via=world.upstream, Sketchwire_Accept=asking)
    assert made.type == MEDIA_TYPE
    refetcher = Refetcher(world.upstream.url, world.upstream.ca)
    original = await refetcher.fetch(url, Headers((("Sketchwire-Accept", asking),)), 10)
    await refetcher.close()
    assert (original.status, original.body) == (200, photo()), "the origin has it no more, the spool does"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_web_sockets_pass(world: World, scheme: str) -> None:
    trust = ssl.create_default_context(cafile=str(world.downstream.ca))
    url = f"{getattr(world, scheme)}/socket"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, proxy=world.downstream.url, ssl=trust) as socket_,
    ):
        await socket_.send_str("hello")
        assert await socket_.receive_str(timeout=10) == "echo hello"


async def test_logs_name_no_site(world: World, browse: Browse) -> None:
    await browse(world.https + "/photo.jpg?secret")
    for process in (world.upstream, world.downstream):
        log = process.log.read_text()
        assert "decision=reconstructed" in log
        assert HOST not in log and "secret" not in log and "photo.jpg" not in log


async def test_port_in_use_is_said_clearly_and_sigterm_lets_requests_finish(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("second")
    with pytest.raises(AssertionError, match=f"cannot listen on 127.0.0.1 port {world.upstream.port}: in use"):
        start_proxy("upstream", folder, {"listen_port": world.upstream.port})
    settings = {"hosts": ["news.demo.test=127.0.0.1"], "allow_private_targets": [f"news.demo.test:{world.http_port}"]}
    second = await asyncio.to_thread(start_proxy, "upstream", folder, settings, 10.0)
    async with aiohttp.ClientSession() as session, session.get(world.http + "/big.bin", proxy=second.url) as answer:
        await answer.content.readexactly(100_000)
        second.popen.terminate()
        await asyncio.sleep(0.3)
        rest = await answer.content.read()
    assert len(rest) == BIG_BYTES - 100_000
    assert await asyncio.to_thread(second.popen.wait, 15) == 0
    assert second.ca.parent.stat().st_mode & 0o777 == 0o700


async def world_run(world: World, work: object) -> None:
    await asyncio.to_thread(world.loop.run, work)
