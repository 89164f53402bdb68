"""The paper's four ways through the real pair: upstream forced to each, the runtime drawing with tiny networks."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from PIL import Image

from tests.client_runtime.diffusion.tiny import write_profile
from tests.e2e.conftest import BROWSER_ACCEPT, HOST, ROOT, Link, Loop, Process, start_proxy
from tests.e2e.origin import photo

MODES = ("prompt", "edges", "edges+palette", "salient")
PAGE = '<html><body><p>Spacewalk</p><img src="{}.jpg" alt="an astronaut smiling in her orange suit"></body></html>'
SIZE = (512, 512)


def origin() -> web.Application:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE.format(request.path), content_type="text/html")

    async def face(request: web.Request) -> web.Response:
        return web.Response(body=photo("astronaut"), content_type="image/jpeg")

    app = web.Application()
    app.router.add_get("/{mode}.jpg", face)
    app.router.add_get("/{mode}", page)
    return app


@contextlib.contextmanager
def runtime(folder: Path) -> Iterator[int]:
    """The port of a runtime process on a tiny profile."""
    write_profile(folder / "profile")
    config, ready, log = folder / "runtime.toml", folder / "runtime.json", folder / "runtime.log"
    settings = {"listen_port": 0, "state_dir": str(folder / "runtime"), "threads": 1, "engine": "diffusion"}
    settings["profile"] = str(folder / "profile")
    config.write_text("[runtime]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items()))
    command = [sys.executable, "-m", "proxy", "runtime", "--config", str(config), "--ready-file", str(ready)]
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "--drain-s", "1"], stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        until = time.monotonic() + 150
        while not ready.exists():
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        told = json.loads(ready.read_text())
        assert told["engine"].startswith("diffusion@"), log.read_text()
        yield told["port"]
    finally:
        process.terminate()
        process.wait(60)


async def fetch(url: str, proxy: str, **headers: str) -> tuple[bytes, Any]:
    async with aiohttp.ClientSession() as session, session.get(url, proxy=proxy, headers=headers) as answer:
        assert answer.status == 200
        return await answer.read(), answer.headers


async def health(port: int) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/healthz") as answer:
        return dict(await answer.json())


@pytest.mark.timeout(600)  # seven processes start, two of them import torch
async def test_all_four_ways_through_the_pair(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        loop, link = Loop(), Link()
        stack.callback(loop.close)
        origin_port = loop.serve(origin())
        runtime_port = stack.enter_context(runtime(tmp_path))
        target = f"{HOST}:{origin_port}"
        settings = {"hosts": [f"{HOST}=127.0.0.1"], "allow_private_targets": [target], "encode_deadline_s": 60.0}
        loop.run(link.start())
        pictures = {}
        downstream: Process | None = None
        for mode in MODES:
            upstream = start_proxy("upstream", tmp_path / mode, {**settings, "mode": mode, "encode_workers": 1})
            link.target_port = upstream.port
            if downstream is None:
                downstream = start_proxy(
                    "downstream",
                    tmp_path,
                    {
                        "upstream": f"http://127.0.0.1:{link.port}",
                        "upstream_ca": str(upstream.ca),
                        "runtime": f"http://127.0.0.1:{runtime_port}",
                        "reconstruct_deadline_s": 60.0,
                    },
                )
                stack.callback(downstream.stop)
            page = f"http://{target}/{mode}"
            try:
                await fetch(page, downstream.url, Accept="text/html")
                before = link.down_bytes
                for _ in range(50):  # pages are read beside the traffic
                    body, headers = await fetch(f"{page}.jpg", downstream.url, Accept=BROWSER_ACCEPT, Referer=page)
                    if body != photo("astronaut"):
                        break
                    await asyncio.sleep(0.05)
            finally:
                upstream.stop()
            assert b"diffusion@" in body, f"{mode}: {headers}"  # the file itself says who drew it
            assert "engine=diffusion@" in headers["Sketchwire-Provenance"]
            assert link.down_bytes - before < 20_000
            with Image.open(io.BytesIO(body)) as image:
                assert image.size == SIZE
                pictures[mode] = np.asarray(image.convert("RGB")).astype(int)
        told = await health(runtime_port)
        assert told["served"] == len(MODES) and told["reasons"] == {}
        for a, b in itertools.pairwise(MODES):
            assert np.abs(pictures[a] - pictures[b]).max() > 8, f"{a} and {b} gave the same picture"
        loop.run(link.cut())
