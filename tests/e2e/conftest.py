"""A whole link on one machine, over real sockets: browser → downstream → counted link → upstream → origin.

The origin (http and https, with a CA of its own) and the runtime run in a thread of the test process; the proxies are
processes, started once for all tests. Between them the link is a forwarder that counts bytes and can be cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.e2e.certificates import make_authority, make_leaf
from tests.e2e.origin import Origin
from tests.e2e.runtime import FakeRuntime

ROOT = Path(__file__).parents[2]
HOST = "news.demo.test"
UNCACHED: dict[str, dict[str, object]] = {"cache": {"enabled": False}}
CACHED: dict[str, dict[str, object]] = {"cache": {"enabled": True}}
BROWSER_ACCEPT = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


class Loop:
    """An event loop in a thread, for everything that is neither the tests nor the proxies."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(_awaited(work), self.loop).result(20)

    def serve(self, app: web.Application, tls: ssl.SSLContext | None = None) -> int:
        async def start() -> int:
            runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
            await site.start()
            return int(runner.addresses[0][1])

        return int(self.run(start()))

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


class Link:
    """Forwards TCP to a port and counts; while `cut`, nobody can connect and nothing passes.

    While `is_breaking`, connections end once the far side has said something, in the middle of a TLS handshake; while
    `is_dead`, at once.
    """

    def __init__(self, port: int = 0) -> None:
        self.target_port = port
        self.port = 0
        self.up_bytes = self.down_bytes = 0
        self.is_breaking = self.is_dead = False
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def total_bytes(self) -> int:
        return self.up_bytes + self.down_bytes

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        await self.hang_up()

    async def hang_up(self) -> None:
        """End all connections; new ones are welcome."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.is_dead:
                raise ConnectionRefusedError
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(self._pipe(reader, far_writer, True), self._pipe(far_reader, writer, False))
        finally:
            self._writers -= {writer, far_writer}

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                if up:
                    self.up_bytes += len(chunk)
                else:
                    self.down_bytes += len(chunk)
                writer.write(chunk)
                await writer.drain()
                if self.is_breaking and not up:
                    break
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()


@dataclass
class Process:
    """A proxy process, and what it said."""

    popen: subprocess.Popen[bytes]
    port: int
    ca: Path
    log: Path
    ready: dict[str, Any]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> int:
        self.popen.terminate()
        return self.popen.wait(20)


def start_proxy(
    role: str,
    folder: Path,
    settings: dict[str, object],
    drain_s: float = 2.0,
    tables: dict[str, dict[str, object]] | None = None,
) -> Process:
    """Start `role` with `settings`, and further `tables` of the configuration, and wait until it is ready.

    Its HTTP cache is off unless a table says otherwise: most tests look at what origins are asked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"listen_port": 0, "state_dir": str(folder / role)} | settings
    config, ready, log = folder / f"{role}.toml", folder / f"{role}.json", folder / f"{role}.log"
    written = [
        f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        for table, values in ({role: settings} | UNCACHED | (tables or {})).items()
    ]
    config.write_text("\n".join(written))
    command = [sys.executable, "-m", "proxy", role, "--config", str(config), "--ready-file", str(ready)]
    with log.open("wb") as out:
        popen = subprocess.Popen([*command, "--drain-s", str(drain_s)], stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
    until = time.monotonic() + 120
    while not ready.exists():
        if popen.poll() is not None or time.monotonic() > until:
            popen.kill()
            raise AssertionError(log.read_text())
        time.sleep(0.02)
    told = json.loads(ready.read_text())
    return Process(popen, told["port"], Path(told["ca"]), log, told)


@dataclass
class World:
    """Everything the tests talk to."""

    loop: Loop
    origin: Origin
    runtime: FakeRuntime
    link: Link
    upstream: Process
    downstream: Process
    http_port: int
    https_port: int
    secure_origin: Link  # which https_port leads to

    @property
    def http(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    @property
    def https(self) -> str:
        return f"https://{HOST}:{self.https_port}"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        yield _start_world(tmp_path_factory.mktemp("pair"), stack)


def _start_world(folder: Path, stack: contextlib.ExitStack) -> World:
    loop, origin, runtime = Loop(), Origin(), FakeRuntime()
    stack.callback(loop.close)
    authority = make_authority(folder / "origin-ca.pem")
    http_port = loop.serve(origin.app())
    secure_origin = Link(loop.serve(origin.app(), make_leaf(authority, HOST, folder / "origin.pem")))
    loop.run(secure_origin.start())
    stack.callback(lambda: loop.run(secure_origin.cut()))
    https_port = secure_origin.port
    runtime_port = loop.serve(runtime.app())
    link = Link()
    upstream = start_proxy(
        "upstream",
        folder,
        {
            "hosts": [f"{HOST}=127.0.0.1", "private.demo.test=127.0.0.1"],
            "allow_private_targets": [f"{HOST}:{http_port}", f"{HOST}:{https_port}"],
            "origin_ca": str(folder / "origin-ca.pem"),
            "encode_deadline_s": 20.0,
            "max_image_bytes": 2 * 1024 * 1024,
        },
    )
    stack.callback(upstream.stop)
    link.target_port = upstream.port
    loop.run(link.start())
    stack.callback(lambda: loop.run(link.cut()))
    downstream = start_proxy(
        "downstream",
        folder,
        {
            "upstream": f"http://127.0.0.1:{link.port}",
            "upstream_ca": str(upstream.ca),
            "runtime": f"http://127.0.0.1:{runtime_port}",
            "reconstruct_deadline_s": 2.0,
        },
    )
    stack.callback(downstream.stop)
    return World(loop, origin, runtime, link, upstream, downstream, http_port, https_port, secure_origin)


@dataclass
class Answer:
    """What a browser got."""

    status: int
    headers: Any
    body: bytes

    @property
    def type(self) -> str:
        return str(self.headers.get("Content-Type", "")).partition(";")[0]


Browse = Callable[..., Awaitable[Answer]]


@pytest.fixture
async def browse(world: World) -> AsyncIterator[Browse]:
    """A browser set to the downstream proxy; `via=None` asks the origin directly, or name another proxy process."""
    world.origin.log.clear()
    world.runtime.behave()
    trusts = {
        process.ca: ssl.create_default_context(cafile=str(process.ca)) for process in (world.upstream, world.downstream)
    }
    async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def ask(
            url: str, method: str = "GET", via: Process | None = world.downstream, image: bool = True, **headers: str
        ) -> Answer:
            fields = {"Accept": BROWSER_ACCEPT} if image else {"Accept": "text/html,*/*;q=0.8"}
            fields |= {name.replace("_", "-"): value for name, value in headers.items()}
            where: dict[str, Any] = {"proxy": via.url, "ssl": trusts[via.ca]} if via else {}
            if via is None:
                url = url.replace(HOST, "127.0.0.1")
            async with session.request(method, url, headers=fields, allow_redirects=False, **where) as answer:
                return Answer(answer.status, answer.headers, await answer.read())

        yield ask
