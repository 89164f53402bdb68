"""Real sites in a real browser, with and without the pair: the same page, and whole again after each part was killed.

The demonstration's newspaper always takes part. A folder of sites to be looked at as well is named by SKETCHWIRE_SITES;
SKETCHWIRE_SITES_PAGES bounds how many of its pages are. Everything goes over https.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from evaluation.soak.site import serve as serve_folder
from proxy.demo.browser import public_key_hash
from proxy.demo.certificates import make_certificates
from proxy.demo.origin import HOST, Origin
from proxy.demo.origin import serve as serve_demo
from proxy.demo.site import build_site
from tests.e2e.chromium import BINARY, Browser, chromium
from tests.e2e.conftest import CACHED, ROOT, Link, Process, start_proxy
from tests.e2e.look import Look, differences, look, look_again

SITES = os.environ.get("SKETCHWIRE_SITES", "")
PAGES = int(os.environ.get("SKETCHWIRE_SITES_PAGES", "1000"))
KILLED_PAGES = 2  # for each part that is killed
START_LIMIT_S = 120.0

pytestmark = [
    pytest.mark.skipif(BINARY is None, reason="chromium is not installed"),
    pytest.mark.timeout(3000),
    pytest.mark.asyncio(loop_scope="module"),
]


class Parts:
    """The runtime, the upstream proxy, a link that can be cut and the downstream proxy, each a process of its own."""

    def __init__(self, origin: Origin, folder: Path) -> None:
        self._origin, self._folder = origin, folder
        self.link = Link()
        self._runtime: subprocess.Popen[bytes] | None = None
        self._runtime_port = self._upstream_port = 0
        self.upstream: Process
        self.downstream: Process

    async def start(self) -> None:
        await asyncio.to_thread(self._start_runtime)
        await asyncio.to_thread(self._start_upstream)
        self.link.target_port = self.upstream.port
        await self.link.start()
        near: dict[str, object] = {
            "upstream": f"http://127.0.0.1:{self.link.port}",
            "upstream_ca": str(self.upstream.ca),
            "runtime": f"http://127.0.0.1:{self._runtime_port}",
            "reconstruct_deadline_s": 30.0,
        }
        self.downstream = await asyncio.to_thread(start_proxy, "downstream", self._folder, near, 2.0, CACHED)

    async def stop(self) -> None:
        for process in (self.downstream, self.upstream):
            await asyncio.to_thread(process.stop)
        await self.link.cut()
        assert self._runtime is not None
        self._runtime.terminate()
        await asyncio.to_thread(self._runtime.wait, 30)

    async def kill(self, part: str) -> None:
        if part == "link":
            await self.link.cut()
            return
        process = self._runtime if part == "runtime" else self.upstream.popen
        assert process is not None
        process.kill()
        await asyncio.to_thread(process.wait)

    async def revive(self, part: str) -> None:
        if part == "link":
            await self.link.start()
        else:
            await asyncio.to_thread(self._start_runtime if part == "runtime" else self._start_upstream)

    def _start_runtime(self) -> None:
        ready, log = self._folder / "runtime.json", self._folder / "runtime.log"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "proxy", "runtime", "--port", str(self._runtime_port)]
        command += ["--state-dir", str(self._folder / "runtime"), "--ready-file", str(ready), "--drain-s", "1"]
        with log.open("ab") as out:
            self._runtime = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
        until_s = time.monotonic() + START_LIMIT_S
        while not ready.exists():
            assert self._runtime.poll() is None and time.monotonic() < until_s, log.read_text()
            time.sleep(0.05)
        self._runtime_port = json.loads(ready.read_text())["port"]

    def _start_upstream(self) -> None:
        origin = self._origin
        (self._folder / "upstream.json").unlink(missing_ok=True)
        far: dict[str, object] = {
            "listen_port": self._upstream_port,
            "hosts": [f"{origin.host}={origin.address}"],
            "allow_private_targets": [f"{origin.host}:{port}" for port in (origin.http_port, origin.https_port)],
            "origin_ca": str(origin.ca),
            "encode_deadline_s": 30.0,
            "encode_background_s": 40.0,
        }
        self.upstream = start_proxy("upstream", self._folder, far, tables=CACHED)
        self._upstream_port = self.upstream.port


@dataclass
class Stage:
    """A site, its pages, the pair in front of it, and how its pages look without."""

    name: str
    origin: Origin
    pages: tuple[str, ...]
    parts: Parts
    direct: dict[str, Look]

    def url(self, page: str) -> str:
        return self.origin.url(page, "https")

    def flags(self) -> list[str]:
        return [
            f"--proxy-server={self.parts.downstream.url}",
            "--proxy-bypass-list=<-loopback>",
            f"--ignore-certificate-errors-spki-list={public_key_hash(self.parts.downstream.ca)}",
        ]


@contextlib.asynccontextmanager
async def _origin(name: str, folder: Path) -> AsyncIterator[tuple[Origin, tuple[str, ...]]]:
    if name == "demo":
        site = build_site(folder / "site")
        async with serve_demo(site, make_certificates(folder / "certificates", HOST)) as origin:
            yield origin, tuple(page.path for page in site.pages)
    else:
        async with serve_folder(Path(SITES).resolve(), folder / "origin") as served:
            yield served.origin, served.pages[:: max(1, len(served.pages) // PAGES)]


def _params() -> list[object]:
    skip = pytest.mark.skipif(not SITES, reason="SKETCHWIRE_SITES names no folder of sites")
    return ["demo", pytest.param("sites", marks=skip)]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=_params())
async def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("sites")
    async with _origin(request.param, folder) as (origin, pages):
        direct: dict[str, Look] = {}
        rules = f"--host-resolver-rules=MAP {origin.host} {origin.address},MAP * ~NOTFOUND"
        trust = f"--ignore-certificate-errors-spki-list={public_key_hash(origin.leaf)}"
        async with chromium(folder / "direct", rules, trust) as browser:
            for page in pages:
                direct[page] = await look(browser, origin.url(page, "https"))
        parts = Parts(origin, folder)
        await parts.start()
        try:
            yield Stage(request.param, origin, pages, parts, direct)
        finally:
            await parts.stop()


async def test_every_page_is_the_same_with_the_pair(stage: Stage, tmp_path: Path) -> None:
    assert sum(len(each.images) for each in stage.direct.values()) > 10 and len(stage.pages) >= 3
    found: dict[str, list[str]] = {}
    async with chromium(tmp_path / "profile", *stage.flags()) as browser:
        for page in stage.pages:
            worse = differences(stage.direct[page], await look(browser, stage.url(page)))
            if worse:
                found[page] = worse
                print(page, *worse, sep="\n  ", flush=True)
    images = sum(len(each.images) for each in stage.direct.values())
    boxes = sum(len(each.boxes) for each in stage.direct.values())
    print(f"{stage.name}: {len(stage.pages)} pages, {images} images, {boxes} boxes; {len(found)} pages differ")
    assert found == {}


@pytest.mark.parametrize("part", ["runtime", "upstream", "link"])
async def test_a_page_is_whole_again_once_a_killed_part_is_back(stage: Stage, tmp_path: Path, part: str) -> None:
    rich = sorted(stage.pages, key=lambda page: -len(stage.direct[page].images))[:KILLED_PAGES]
    async with chromium(tmp_path / "profile", *stage.flags()) as browser:
        for page in rich:
            await browser.begin(stage.url(page))
            await stage.parts.kill(part)
            await _whatever_comes(browser)
            await stage.parts.revive(part)
            await browser.load(stage.url(page), 120)
            await browser.reload(120)
            worse = differences(stage.direct[page], await look_again(browser))
            assert worse == [], (page, worse)


async def _whatever_comes(browser: Browser) -> None:
    """Let the page end as it may while a part is down."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            await browser.call("Runtime.evaluate", expression="1")
