"""The HTTP cache of both proxies, over real sockets: what is asked once, what is asked again, who gets whose answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.ledger.read import Scope, opened
from proxy.ledger.row import Row
from tests.e2e.certificates import make_authority, make_leaf
from tests.e2e.conftest import BROWSER_ACCEPT, CACHED, HOST, Answer, Link, Loop, Process, start_proxy
from tests.e2e.origin import photo
from tests.e2e.runtime import FakeRuntime

STYLE = ("body { color: red }\n" * 300).encode()
LARGE = os.urandom(1024) * 3072  # 3 MB, streamed through both proxies
PAGE_ACCEPT = "text/html,*/*;q=0.8"


@dataclass
class CountingOrigin:
    """`seen` has each request's path and whether it was conditional."""

    seen: list[tuple[str, bool]] = field(default_factory=list)
    version: int = 1
    broken: bool = False

    def app(self) -> web.Application:
        app = web.Application(client_max_size=10**8)
        app.router.add_route("*", "/{name:.*}", self._answer)
        return app

    def asked(self, path: str) -> int:
        return sum(1 for each, _ in self.seen if each == path)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        conditional = "If-None-Match" in request.headers
        self.seen.append((path, conditional))
        if self.broken:
            return web.Response(status=503, text="out of order")
        name = path.rpartition("/")[2]
        tag = f'"v{self.version}"'
        head = {
            "style.css": {"Cache-Control": "public, max-age=600", "Content-Type": "text/css"},
            "mine.css": {"Cache-Control": "max-age=600", "Content-Type": "text/css"},
            "photo.jpg": {"Cache-Control": "max-age=600", "Content-Type": "image/jpeg", "ETag": tag},
            "checked.css": {"Cache-Control": "max-age=0", "Content-Type": "text/css", "ETag": tag},
            "soon.css": {"Cache-Control": "max-age=0, stale-while-revalidate=600", "ETag": tag},
            "failing.css": {"Cache-Control": "max-age=0, stale-if-error=600", "Content-Type": "text/css"},
            "strict.css": {"Cache-Control": "max-age=0, must-revalidate", "ETag": tag},
            "secret.css": {"Cache-Control": "no-store", "Content-Type": "text/css"},
            "large.bin": {"Cache-Control": "max-age=600", "Content-Type": "application/octet-stream"},
            "hello.html": {"Cache-Control": "private, max-age=600", "Content-Type": "text/html"},
            "lax.html": {"Cache-Control": "max-age=600", "Content-Type": "text/html"},
            "login.html": {"Cache-Control": "max-age=600", "Content-Type": "text/html", "Set-Cookie": "s=1"},
        }.get(name, {"Cache-Control": "max-age=600"})
        if conditional and request.headers["If-None-Match"] == tag and "ETag" in head:
            return web.Response(status=304, headers={"ETag": tag, "Cache-Control": head["Cache-Control"]})
        if name == "photo.jpg":
            return web.Response(body=photo(), headers=head)
        if name == "large.bin":
            return web.Response(body=LARGE, headers=head)
        if name.endswith(".html"):
            return web.Response(body=f"for {request.headers.get('Cookie', 'nobody')}".encode(), headers=head)
        return web.Response(body=STYLE + f"/* {self.version} */".encode(), headers=head)


@dataclass
class Cached:
    """A pair whose caches are on; `wire` counts what is between them."""

    loop: Loop
    origin: CountingOrigin
    runtime: FakeRuntime
    wire: Link
    upstream: Process
    downstream: Process
    http: str
    https: str
    folder: Path
    origin_server: web.AppRunner  # of plain http


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cached]:
    with contextlib.ExitStack() as stack:
        yield start_cached(tmp_path_factory.mktemp("cached"), stack)


def start_cached(folder: Path, stack: contextlib.ExitStack) -> Cached:
    loop, origin, runtime, wire = Loop(), CountingOrigin(), FakeRuntime(), Link()
    stack.callback(loop.close)
    authority = make_authority(folder / "origin-ca.pem")
    server, http_port = loop.run(serving(origin.app()))
    https_port = loop.serve(origin.app(), make_leaf(authority, HOST, folder / "origin.pem"))
    runtime_port = loop.serve(runtime.app())
    tables = CACHED
    upstream = start_proxy(
        "upstream",
        folder,
        {
            "hosts": [f"{HOST}=127.0.0.1"],
            "allow_private_targets": [f"{HOST}:{http_port}", f"{HOST}:{https_port}"],
            "origin_ca": str(folder / "origin-ca.pem"),
            "encode_deadline_s": 30.0,
        },
        tables=tables,
    )
    stack.callback(upstream.stop)
    wire.target_port = upstream.port
    loop.run(wire.start())
    stack.callback(lambda: loop.run(wire.cut()))
    downstream = start_proxy(
        "downstream",
        folder,
        {
            "upstream": f"http://127.0.0.1:{wire.port}",
            "upstream_ca": str(upstream.ca),
            "runtime": f"http://127.0.0.1:{runtime_port}",
            "reconstruct_deadline_s": 10.0,
        },
        tables=tables,
    )
    stack.callback(downstream.stop)
    base = f"{HOST}:{http_port}", f"{HOST}:{https_port}"
    plain, secure = f"http://{base[0]}", f"https://{base[1]}"
    return Cached(loop, origin, runtime, wire, upstream, downstream, plain, secure, folder, server)


async def serving(app: web.Application) -> tuple[web.AppRunner, int]:
    """A server that can be ended."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, int(runner.addresses[0][1])


class Browser:
    """A client of one of the proxies, without a cache of its own."""

    def __init__(self, cached: Cached, session: aiohttp.ClientSession) -> None:
        self._cached, self._session = cached, session
        self._trust = {
            each.ca: ssl.create_default_context(cafile=str(each.ca)) for each in (cached.upstream, cached.downstream)
        }

    async def get(self, url: str, method: str = "GET", via: Process | None = None, **headers: Any) -> Answer:
        fields = {"Accept": PAGE_ACCEPT} | {name.replace("_", "-"): value for name, value in headers.items()}
        proxy = via or self._cached.downstream
        where: dict[str, Any] = {"proxy": proxy.url, "ssl": self._trust[proxy.ca]}
        async with self._session.request(method, url, headers=fields, allow_redirects=False, **where) as answer:
            return Answer(answer.status, answer.headers, await answer.read())


@pytest.fixture
async def browser(cached: Cached) -> AsyncIterator[Browser]:
    cached.origin.seen.clear()
    cached.origin.broken = False
    cached.runtime.behave()
    async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Browser(cached, session)


async def settled(browser: Browser, url: str, **headers: Any) -> Answer:
    """Ask until the answer comes from downstream's store: writing to it is nobody's wait."""
    for _ in range(200):
        answer = await browser.get(url, **headers)
        if "Cache-Status" in answer.headers:
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError("it was never kept")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_second_visit_costs_the_link_nothing(cached: Cached, browser: Browser, scheme: str) -> None:
    url = f"{getattr(cached, scheme)}/{scheme}/style.css"
    first = await browser.get(url)
    assert first.body.startswith(STYLE) and "Cache-Status" not in first.headers
    await settled(browser, url)
    cached.origin.seen.clear()
    before = cached.wire.total_bytes
    second = await browser.get(url)
    assert cached.wire.total_bytes == before and not cached.origin.seen
    assert second.status == 200 and second.body == first.body and second.type == "text/css"
    assert second.headers["Cache-Status"] == "sketchwire; hit" and int(second.headers["Age"]) >= 0
    held = await browser.get(url, "HEAD")
    assert held.status == 200 and not held.body and int(held.headers["Content-Length"]) == len(first.body)
    part = await browser.get(url, Range="bytes=5-9")
    assert part.status == 206 and part.body == first.body[5:10]
    assert part.headers["Content-Range"] == f"bytes 5-9/{len(first.body)}"
    assert cached.wire.total_bytes == before and not cached.origin.seen


async def test_a_picture_is_drawn_again_without_the_link_and_its_original_stays_apart(
    cached: Cached, browser: Browser
) -> None:
    url = cached.http + "/pictures/photo.jpg"
    drawn = await browser.get(url, Accept=BROWSER_ACCEPT)
    assert drawn.type == "image/webp" and drawn.body != photo()
    again = await settled_link(cached, browser, url, Accept=BROWSER_ACCEPT)
    assert again.type == "image/webp" and again.headers["Cache-Control"] == "private, no-cache"
    assert cached.origin.asked("/pictures/photo.jpg") == 1
    original = await browser.get(url, Accept=BROWSER_ACCEPT, Sketchwire_Original="1")
    assert original.body == photo()
    await settled_link(cached, browser, url, Accept=BROWSER_ACCEPT, Sketchwire_Original="1")
    assert (await browser.get(url, Accept=BROWSER_ACCEPT)).type == "image/webp"
    assert (await browser.get(url, Accept=BROWSER_ACCEPT, Sketchwire_Original="1")).body == photo()
    assert cached.origin.asked("/pictures/photo.jpg") == 1
    tag = drawn.headers["ETag"]
    assert (await browser.get(url, Accept=BROWSER_ACCEPT, If_None_Match=tag)).status == 304


async def settled_link(cached: Cached, browser: Browser, url: str, **headers: Any) -> Answer:
    """Ask until an answer costs the link nothing."""
    for _ in range(200):
        before = cached.wire.total_bytes
        answer = await browser.get(url, **headers)
        if cached.wire.total_bytes == before:
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError("it always crossed the link")


async def test_upstreams_store_spares_the_origin_whoever_asks(cached: Cached, browser: Browser) -> None:
    url = cached.http + "/popular/style.css"
    first = await browser.get(url, via=cached.upstream, Cookie="person=1")
    assert first.body.startswith(STYLE)
    for _ in range(200):
        cached.origin.seen.clear()
        second = await browser.get(url, via=cached.upstream, Cookie="person=2")
        if not cached.origin.seen:
            break
        await asyncio.sleep(0.05)
    assert not cached.origin.seen and second.body == first.body
    for person in (1, 2, 1):  # what does not say that it is for everybody is not kept for people with cookies
        cached.origin.seen.clear()
        await browser.get(cached.http + "/popular/mine.css", via=cached.upstream, Cookie=f"person={person}")
        assert cached.origin.seen
    assert not [name for name in second.headers if name.lower().startswith("sketchwire")]


async def test_what_must_be_validated_costs_a_304(cached: Cached, browser: Browser) -> None:
    url = cached.https + "/checked.css"
    first = await browser.get(url)
    await asyncio.sleep(0.2)
    before = cached.wire.down_bytes
    second = await settled(browser, url)
    assert second.body == first.body and "fwd-status=304" in second.headers["Cache-Status"]
    assert cached.origin.seen[-1] == ("/checked.css", True)
    assert cached.wire.down_bytes - before < len(STYLE) / 2
    cached.origin.version += 1
    third = await browser.get(url)
    assert third.status == 200 and third.body != first.body


async def test_a_reload_reaches_the_origin(cached: Cached, browser: Browser) -> None:
    url = cached.http + "/reload/style.css"
    await settled(browser, url)
    reloads: tuple[dict[str, Any], ...] = (
        {"Cache_Control": "no-cache"},
        {"Pragma": "no-cache"},
        {"Cache_Control": "no-store"},
    )
    for asking in reloads:
        cached.origin.seen.clear()
        assert (await browser.get(url, **asking)).status == 200
        assert cached.origin.asked("/reload/style.css") == 1
    assert (await browser.get(cached.http + "/never/seen.css", Cache_Control="only-if-cached")).status == 504
    assert (await browser.get(url, Cache_Control="only-if-cached")).status == 200


async def test_two_people_behind_one_address_never_get_each_others_pages(cached: Cached, browser: Browser) -> None:
    for name in ("hello.html", "lax.html", "login.html"):
        url = f"{cached.http}/people/{name}"
        for _ in range(3):
            for person in ("anna", "ben", "anna"):
                answer = await browser.get(url, Cookie=f"who={person}")
                assert answer.body == f"for who={person}".encode()
            assert (await browser.get(url)).body == b"for nobody"
            await asyncio.sleep(0.1)
    hello = await settled(browser, f"{cached.http}/people/hello.html", Cookie="who=anna")
    assert hello.body == b"for who=anna"  # kept for her alone


async def test_no_store_and_cookies_are_never_kept(cached: Cached, browser: Browser) -> None:
    for name in ("secret.css", "login.html"):
        for _ in range(3):
            assert (await browser.get(f"{cached.http}/never/{name}")).status == 200
            await asyncio.sleep(0.1)
        assert cached.origin.asked(f"/never/{name}") == 3


async def test_a_stale_answer_is_shown_at_once_and_renewed_behind(cached: Cached, browser: Browser) -> None:
    url = cached.http + "/swr/soon.css"
    first = await browser.get(url)
    await asyncio.sleep(0.3)
    cached.origin.version += 1
    shown = await settled(browser, url)
    assert shown.body == first.body and "stale" in shown.headers["Cache-Status"]
    for _ in range(200):
        if (await browser.get(url)).body != first.body:
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("it was never renewed")


async def test_a_failing_origin_is_covered_by_what_is_stored(cached: Cached, browser: Browser) -> None:
    url = cached.http + "/errors/failing.css"
    first = await browser.get(url)
    strict = cached.http + "/errors/strict.css"
    await browser.get(strict)
    await asyncio.sleep(0.3)
    cached.origin.broken = True
    answer = await browser.get(url)
    assert answer.status == 200 and answer.body == first.body
    assert (await browser.get(strict)).status == 503  # must-revalidate forbids it


async def test_an_unsafe_request_forgets_what_it_changed(cached: Cached, browser: Browser) -> None:
    url = cached.http + "/changing/style.css"
    await settled(browser, url)
    cached.origin.version += 1
    assert (await browser.get(url, "POST")).status == 200
    assert (await browser.get(url)).body.endswith(f"/* {cached.origin.version} */".encode())


async def test_a_large_body_streams_into_the_store_whole(cached: Cached, browser: Browser) -> None:
    url = cached.http + "/large.bin"
    assert (await browser.get(url)).body == LARGE
    assert (await settled(browser, url)).body == LARGE
    assert cached.origin.asked("/large.bin") == 1


async def test_rows_say_what_the_cache_saved(cached: Cached, browser: Browser) -> None:
    url = cached.http + "/rows/style.css"
    await settled(browser, url)
    size_bytes = len((await browser.get(url)).body)
    found: list[Row] = []
    for _ in range(100):
        with opened(cached.folder / "downstream" / "ledger.sqlite") as ledger:
            rows = [row for _, row in ledger.each_row(Scope(role="downstream"))]
        found = [row for row in rows if (row.reason, row.origin_bytes) == ("cached", size_bytes)]
        if found:
            break
        await asyncio.sleep(0.1)
    assert found
    assert all((row.link_bytes, row.cache_hit, row.decision) == (0, True, "cached") for row in found)


async def test_a_dead_origin_and_a_dead_upstream_leave_what_is_stored(tmp_path: Path) -> None:
    """Also a restart of downstream after kill −9."""
    with contextlib.ExitStack() as stack:
        cached = start_cached(tmp_path, stack)
        async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
            browser = Browser(cached, session)
            url = cached.http + "/dead/checked.css"
            first = await browser.get(url, via=cached.upstream)
            await settled(browser, url)
            await settled(browser, cached.http + "/dead/style.css")
            cached.downstream.popen.kill()
            cached.downstream.popen.wait(20)
            (cached.folder / "downstream.json").unlink()  # it had no time to do so itself
            again = start_proxy(
                "downstream",
                cached.folder,
                {
                    "upstream": f"http://127.0.0.1:{cached.wire.port}",
                    "upstream_ca": str(cached.upstream.ca),
                    "runtime": "",
                },
                tables={"cache": {"enabled": True}},
            )
            stack.callback(again.stop)
            kept = await browser.get(cached.http + "/dead/style.css", via=again)
            assert kept.headers["Cache-Status"] == "sketchwire; hit" and kept.body.startswith(STYLE)
            cached.loop.run(cached.origin_server.cleanup())
            from_upstream = await browser.get(url, via=cached.upstream)
            assert from_upstream.status == 200 and from_upstream.body == first.body
            assert (await browser.get(cached.http + "/dead/other.css", via=cached.upstream)).status == 502
            cached.loop.run(cached.wire.cut())
            from_downstream = await browser.get(url, via=again)
            assert from_downstream.status == 200 and from_downstream.body == first.body
            assert "stale" in from_downstream.headers["Cache-Status"]
            assert (await browser.get(cached.http + "/dead/other.css", via=again)).status == 502
