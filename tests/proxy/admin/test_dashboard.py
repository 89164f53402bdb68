"""The dashboard: small, complete without a script, and live with one."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from proxy.admin.dashboard import WATCHERS, Dashboard
from proxy.admin.live import Live
from proxy.admin.server import AdminServer, Metered
from proxy.admin.telling import Told, told
from tests.proxy.ledger.rows import row

METERED = Metered("text/plain; version=0.0.4", lambda: b"sketchwire_up 1\n")
FIRST_LOAD_BYTES = 30_000
TOKEN = "0123456789abcdef-token"
PATHS = ("/", "/dashboard.css", "/dashboard.js", "/events")


class Proxy:
    """Stands for a proxy that answers."""

    def __init__(self, token: str = "") -> None:
        self.live = Live(0.0)
        self.parts = [("engine", "sketch@0123abcd"), ("evil", "<script>alert(1)</script>")]
        self.dashboard = Dashboard("downstream", self.tell, every_s=0.02)
        self.server = AdminServer("127.0.0.1", 0, METERED, token, self.dashboard.routes())

    async def tell(self) -> Told:
        return told(self.live.now(100.0), None, self.parts)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    made = Proxy()
    await made.server.start()
    yield made
    made.dashboard.close()
    await made.server.stop()


@pytest.fixture
async def asked() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def events(stream: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    async for line in stream.content:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


async def test_the_page_has_the_figures_without_a_script(proxy: Proxy, asked: aiohttp.ClientSession) -> None:
    for number in range(5):
        proxy.live.observe(row(decision="original" if number else "reconstructed", reason="deadline"), 99.0)
    async with asked.get(proxy.url) as answer:
        page = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    for text in ("97.0 %", "7.5 kB instead of 250 kB", "sketch@0123abcd", "not ready in time", "image/jpeg"):
        assert text in page
    assert "default-src 'none'" in policy and "unsafe" not in policy and "<script>alert" not in page
    assert "style=" not in page and 'http-equiv="refresh"' in page  # the policy forbids the one; the other needs none


async def test_the_first_load_is_small(proxy: Proxy, asked: aiohttp.ClientSession) -> None:
    """Page, style, script and the first event, as sent, with heads; every text as long as it can be."""
    for number in range(400):
        proxy.live.observe(row(decision="skipped", reason="kind", origin_bytes=999_500 + number), number * 10.0)
    total = 0
    for path in PATHS[:3]:
        async with aiohttp.ClientSession(auto_decompress=False) as raw, raw.get(proxy.url + path) as answer:
            total += len(await answer.read()) + sum(len(name) + len(value) + 4 for name, value in answer.raw_headers)
            assert answer.status == 200 and answer.headers["Content-Encoding"] in ("gzip", "deflate")
    async with asked.get(proxy.url + "/events") as stream:
        async for line in stream.content:
            total += len(line)
            break
    assert 2_000 < total < FIRST_LOAD_BYTES


async def test_only_what_changed_is_sent(proxy: Proxy, asked: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(20), asked.get(proxy.url + "/events") as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        coming = events(stream)
        first = await anext(coming)
        assert first["saved"] == "–" and "parts" in first
        proxy.live.observe(row(), 99.0)
        second = await anext(coming)
    assert second["saved"] == "97.0 %" and second["decided"] == [["drawn again", "1"]]
    assert not {"parts", "up", "failed"} & second.keys() and len(json.dumps(second)) < 800


async def test_streams_are_bounded_and_end(proxy: Proxy) -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        streams = [await session.get(proxy.url + "/events") for _ in range(WATCHERS)]
        assert proxy.dashboard.watchers == WATCHERS
        async with session.get(proxy.url + "/events") as refused:
            assert refused.status == 503
        proxy.dashboard.close()
        for stream in streams:
            await stream.read()  # returns, for the stream ends
        assert proxy.dashboard.watchers == 0


async def test_who_goes_makes_room(proxy: Proxy, asked: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(20):
        stream = await asked.get(proxy.url + "/events")
        assert proxy.dashboard.watchers == 1
        stream.close()
        while proxy.dashboard.watchers:
            proxy.live.observe(row(), 99.0)
            await asyncio.sleep(0.01)


async def test_everything_asks_for_the_token(asked: aiohttp.ClientSession) -> None:
    guarded = Proxy(TOKEN)
    await guarded.server.start()
    basic = "Basic " + base64.b64encode(f"admin:{TOKEN}".encode()).decode()
    try:
        for path in PATHS:
            async with asked.get(guarded.url + path) as answer:
                assert answer.status == 401
            async with asked.get(guarded.url + path, headers={"Authorization": basic}) as answer:
                assert answer.status == 200
    finally:
        guarded.dashboard.close()
        await guarded.server.stop()
