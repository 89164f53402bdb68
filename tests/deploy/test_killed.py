"""A downstream proxy that is killed in the middle of answers keeps its books all the same, from its next start on."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from proxy.ledger.read import opened
from tests.e2e.conftest import HOST, Link, Loop, start_proxy

SENT_BYTES = 50_000


def origin() -> web.Application:
    async def hang(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"x" * SENT_BYTES)
        await asyncio.sleep(300)
        return answer

    async def whole(request: web.Request) -> web.Response:
        return web.Response(text="a page " * 500, content_type="text/html")

    app = web.Application()
    app.router.add_get("/hang", hang)
    app.router.add_get("/whole", whole)
    return app


async def browse(proxy: str, base: str) -> None:
    """Whole answers on one connection, then one that never ends; the proxy is killed meanwhile."""
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.get(f"{base}/whole", proxy=proxy) as answer:
                await answer.read()
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with session.get(f"{base}/hang", proxy=proxy) as answer:
                await answer.read()


@pytest.mark.timeout(400)  # three proxies start, which takes a while on a busy machine
async def test_every_byte_is_in_the_ledger_once(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        loop, link = Loop(), Link()
        stack.callback(loop.close)
        port = loop.serve(origin())
        targets = {"hosts": [f"{HOST}=127.0.0.1"], "allow_private_targets": [f"{HOST}:{port}"]}
        upstream = await asyncio.to_thread(start_proxy, "upstream", tmp_path, targets)
        stack.callback(upstream.popen.kill)
        link.target_port = upstream.port
        loop.run(link.start())
        near = {"upstream": f"http://127.0.0.1:{link.port}", "upstream_ca": str(upstream.ca), "runtime": ""}
        first = await asyncio.to_thread(start_proxy, "downstream", tmp_path, near)
        stack.callback(first.popen.kill)
        work = asyncio.create_task(browse(first.url, f"http://{HOST}:{port}"))
        seen, since_s = 0, time.monotonic()
        async with asyncio.timeout(60):  # until the endless answer has come as far as it ever will
            while link.total_bytes < SENT_BYTES or time.monotonic() - since_s < 1.0:
                if link.total_bytes != seen:
                    seen, since_s = link.total_bytes, time.monotonic()
                await asyncio.sleep(0.05)
        first.popen.send_signal(signal.SIGKILL)
        first.popen.wait(20)
        await work
        (tmp_path / "downstream.json").unlink()
        second = await asyncio.to_thread(start_proxy, "downstream", tmp_path, near)
        stack.callback(second.popen.kill)
        assert second.stop() == 0
        with opened(tmp_path / "downstream" / "ledger.sqlite") as ledger:
            rows = [row for _, row in ledger.each_row()]
        assert sum(row.link_bytes for row in rows) == link.total_bytes == seen
        killed = [row for row in rows if row.reason == "killed"]
        assert len(killed) == 1 and killed[0].link_bytes > SENT_BYTES and killed[0].subscriber
        assert {row.subscriber for row in rows} == {killed[0].subscriber}
