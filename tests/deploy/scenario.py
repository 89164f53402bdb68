"""The whole deployment on one machine, under load, while each part is killed once.

In: a folder of a site's files. Out: a JSON report; exit status 0 when nothing stayed broken and the bytes add up.
Refuses: to run without redis-server (or valkey-server), haproxy and Ray.

Two downstream and two upstream proxies, two runtimes on Ray Serve, Redis and HAProxy with the shipped configuration, as
processes. Clients, each a subscriber with a password and a loopback address of its own, fetch the site's files through
HAProxy; between each downstream proxy and HAProxy a forwarder counts bytes. A request that fails is tried again, as a
browser's user would; a page is broken when a body is still wrong then.

    python -m tests.deploy.scenario --sites ../shared/sites --clients 20 --requests 400
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import functools
import io
import json
import mimetypes
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from aiohttp import web
from PIL import Image

from client_runtime import serve_ray
from proxy.access.htpasswd import set_password
from proxy.config import RuntimeConfig, ScaleConfig
from proxy.ledger.read import opened
from tests.e2e.conftest import HOST, Loop, Process, start_proxy

ROOT = Path(__file__).parents[2]
ACCEPT = "image/avif,image/webp,image/png,image/*,*/*;q=0.8"
PASSWORD = "correct horse battery"
TRIES = 4
DEAD_S = 2.0  # how long a killed part stays dead
TOLERANCE = 0.01


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Wire:
    """Forwards TCP to a port from a loopback address of its own, and counts."""

    def __init__(self, target_port: int, source: str) -> None:
        self._target_port, self._source = target_port, source
        self.port = self.bytes = 0

    async def start(self) -> None:
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far = await asyncio.open_connection("127.0.0.1", self._target_port, local_addr=(self._source, 0))
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self._pipe(reader, far[1]), self._pipe(far[0], writer))

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                self.bytes += len(chunk)
                writer.write(chunk)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()


@dataclass
class Part:
    """A part that can be killed: how, and how it comes back."""

    name: str
    kill: Callable[[], None]
    restart: Callable[[], None]


@dataclass
class Told:
    """What the load met."""

    answers: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    drawn: int = 0
    seconds: list[float] = field(default_factory=list)


def site_of(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Path to media type and body."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    kinds = {str(path.relative_to(folder)): mimetypes.guess_type(path.name)[0] for path in files}
    return {name: (kind or "application/octet-stream", (folder / name).read_bytes()) for name, kind in kinds.items()}


def origin(site: dict[str, tuple[str, bytes]]) -> web.Application:
    async def serve(request: web.Request) -> web.Response:
        media_type, body = site[request.match_info["path"]]
        return web.Response(body=body, content_type=media_type, headers={"Cache-Control": "max-age=600"})

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    return app


def wrong(name: str, media_type: str, expected: bytes, got: bytes) -> str | None:
    """Why an answer is broken; a picture must have its size, everything else its bytes."""
    if got == expected:
        return None
    if not media_type.startswith("image/"):
        return f"{name}: {len(got)} bytes of another content"
    try:
        with Image.open(io.BytesIO(got)) as drawn, Image.open(io.BytesIO(expected)) as known:
            drawn.load()
            return None if drawn.size == known.size else f"{name}: {drawn.size} instead of {known.size}"
    except Exception as error:
        return f"{name}: {type(error).__name__}"


async def browse(told: Told, client: int, proxy: str, base: str, wanted: list[str], site: Any) -> None:
    """One subscriber, one request after the other."""
    secret = base64.b64encode(f"subscriber-{client}:{PASSWORD}".encode()).decode()
    headers = {"Accept": ACCEPT, "Proxy-Authorization": f"Basic {secret}"}
    address = f"127.0.{1 + client // 200}.{1 + client % 200}"

    def fresh() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(local_addr=(address, 0), limit=1)
        return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60))

    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(fresh())
        for name in wanted:
            media_type, expected = site[name]
            problem: str | None = None
            began_s = time.monotonic()
            for attempt in range(TRIES):
                if attempt:
                    told.retries[(problem or "").split(":")[-1].strip()[:60]] += 1
                    await asyncio.sleep(1.5 * attempt)
                try:
                    url = f"{base}/{name}"
                    async with session.get(url, proxy=proxy, headers=headers) as answer:
                        got = await answer.read()
                        problem = wrong(name, media_type, expected, got) if answer.status == 200 else None
                        problem = problem or (f"{name}: status {answer.status}" if answer.status != 200 else None)
                        told.drawn += problem is None and media_type.startswith("image/") and got != expected
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    problem = f"{name}: {type(error).__name__}"
                if problem is None:
                    break
            told.answers += 1
            told.seconds.append(time.monotonic() - began_s)
            if problem is not None:
                told.broken.append(problem)


def program(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin"))), None)
    if found is None:
        raise SystemExit(f"needs {names[0]}")
    return found


def haproxy_file(folder: Path, ports: dict[str, int]) -> Path:
    """The shipped file with this machine's ports instead of names."""
    text = (ROOT / "configs" / "deploy" / "haproxy" / "haproxy.cfg").read_text()
    for name in ("downstream-1", "downstream-2", "upstream-1", "upstream-2"):
        text = re.sub(rf" {name}:\d+", f" 127.0.0.1:{ports[name]}", text)
    text = text.replace("bind :3128", f"bind 127.0.0.1:{ports['subscribers']}")
    text = text.replace("bind :8081", f"bind 127.0.0.1:{ports['edges']}")
    text = text.replace("127.0.0.1:8405", f"127.0.0.1:{ports['metrics']}")
    file = folder / "haproxy.cfg"
    file.write_text(text)
    return file


class Deployment:
    """All parts, running."""

    def __init__(self, folder: Path, site: dict[str, tuple[str, bytes]], clients: int, engine: str) -> None:
        self.folder, self.engine = folder, engine
        self.loop = Loop()
        self.origin_port = self.loop.serve(origin(site))
        names = ("downstream-1", "downstream-2", "upstream-1", "upstream-2", "subscribers", "edges", "metrics", "ray")
        self.ports = {name: free_port() for name in names}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.proxies: dict[str, Process] = {}
        for number in range(clients):
            set_password(folder / "users", f"subscriber-{number}", PASSWORD)
        self.redis = folder / "redis.sock"
        self.start_redis()
        self.start_runtimes()
        for name in ("upstream-1", "upstream-2"):
            self.start_upstream(name)
        self.start_haproxy()
        self.wires = {n: Wire(self.ports["edges"], f"127.0.9.{n}") for n in (1, 2)}
        for wire in self.wires.values():
            self.loop.run(wire.start())
        for name in ("downstream-1", "downstream-2"):
            self.start_downstream(name)

    def _spawn(self, name: str, *command: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def start_redis(self) -> None:
        conf = self.folder / "redis.conf"
        shipped = (ROOT / "configs" / "deploy" / "redis" / "redis.conf").read_text()
        conf.write_text(shipped.replace("port 6379", f"port 0\nunixsocket {self.redis}").replace("bind * -::*\n", ""))
        self._spawn("redis", program("redis-server", "valkey-server"), str(conf))

    def start_haproxy(self) -> None:
        self._spawn("haproxy", program("haproxy"), "-W", "-db", "-f", str(haproxy_file(self.folder, self.ports)))
        until_s = time.monotonic() + 20
        while time.monotonic() < until_s and self.processes["haproxy"].poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ports["subscribers"]), 1):
                return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "haproxy.log").read_text()[-500:])

    def start_runtimes(self) -> None:
        config = RuntimeConfig(
            listen_port=self.ports["ray"],
            engine=self.engine,
            threads=1,
            state_dir=str(self.folder / "runtime"),
            shared_cache=f"unix://{self.redis}?db=0",
        )
        self.runtimes = [
            serve_ray.start(config, ScaleConfig(route=route, application=route[1:], cpus=0.5), cpus=2)
            for route in ("/one", "/two")
        ]

    def kill_replica(self) -> None:
        replicas = [p for p in psutil.Process().children(recursive=True) if "ServeReplica:one" in " ".join(_words(p))]
        if not replicas:
            raise RuntimeError("no replica found to kill")
        replicas[0].kill()

    def _settled(self, role: str, name: str, settings: dict[str, object], tables: dict[str, Any]) -> None:
        folder = self.folder / name
        first = self.folder / f"{role}-1" / role
        if name.endswith("-2"):  # one authority for all proxies of a role
            (folder / role).mkdir(parents=True, exist_ok=True, mode=0o700)
            for file in first.glob("mitmproxy-ca*.pem"):
                shutil.copy(file, folder / role)
        (folder / f"{role}.json").unlink(missing_ok=True)
        self.proxies[name] = start_proxy(role, folder, {"listen_port": self.ports[name], **settings}, 5.0, tables)

    def start_upstream(self, name: str) -> None:
        settings: dict[str, object] = {
            "hosts": [f"{HOST}=127.0.0.1"],
            "allow_private_targets": [f"{HOST}:{self.origin_port}"],
            "encode_workers": 1,
            "encode_deadline_s": 15.0,
        }
        self._settled("upstream", name, settings, {})

    def start_downstream(self, name: str) -> None:
        settings: dict[str, object] = {
            "upstream": f"http://127.0.0.1:{self.wires[int(name[-1])].port}",
            "upstream_ca": str(self.proxies["upstream-1"].ca),
            "runtime": self.runtimes[0],
            "runtimes": self.runtimes[1:],
        }
        tables = {
            "access": {"proxyauth": str(self.folder / "users")},
            "ledger": {"key_file": str(self.folder / "ledger.key")},
        }
        self._settled("downstream", name, settings, tables)

    def parts(self, gentle: bool) -> list[Part]:
        """What is killed, in this order; `gentle`: downstream proxies, which keep the books, are told to leave."""

        def kill_process(name: str) -> Callable[[], None]:
            def kill() -> None:
                victim = psutil.Process(self.processes[name].pid)
                for child in victim.children(recursive=True):
                    child.kill()
                self.processes[name].kill()
                self.processes[name].wait()

            return kill

        def kill_proxy(name: str) -> Callable[[], None]:
            def kill() -> None:
                gently = gentle and name.startswith("downstream")
                self.proxies[name].popen.send_signal(signal.SIGTERM if gently else signal.SIGKILL)
                self.proxies[name].popen.wait()

            return kill

        return [
            Part("runtime", self.kill_replica, lambda: None),  # Ray starts another by itself
            Part("redis", kill_process("redis"), self.start_redis),
            Part("upstream-1", kill_proxy("upstream-1"), functools.partial(self.start_upstream, "upstream-1")),
            Part("downstream-1", kill_proxy("downstream-1"), functools.partial(self.start_downstream, "downstream-1")),
            Part("haproxy", kill_process("haproxy"), self.start_haproxy),
            Part("upstream-2", kill_proxy("upstream-2"), functools.partial(self.start_upstream, "upstream-2")),
            Part("downstream-2", kill_proxy("downstream-2"), functools.partial(self.start_downstream, "downstream-2")),
        ]

    def stop(self) -> None:
        for name in ("downstream-1", "downstream-2", "upstream-1", "upstream-2"):
            if name in self.proxies:
                with contextlib.suppress(Exception):
                    self.proxies[name].stop()
        for process in self.processes.values():
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)

    def ledger_bytes(self) -> dict[str, int]:
        """Bytes over the link for each subscriber's pseudonym, from both downstream ledgers."""
        found: dict[str, int] = defaultdict(int)
        for number in (1, 2):
            place = self.folder / f"downstream-{number}" / "downstream" / "ledger.sqlite"
            with opened(place) as reader:
                for _, row in reader.each_row():
                    found[row.subscriber] += row.link_bytes + row.refetch_bytes
        return dict(found)


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


async def load_and_kill(
    deployment: Deployment, site: Any, clients: int, requests: int, kills: bool, gentle: bool
) -> Told:
    """The clients' requests; a part is killed each time another share of them was answered."""
    told = Told()
    chance = random.Random(7)
    images = [name for name, (kind, _) in site.items() if kind.startswith("image/")]
    each = max(1, requests // clients)
    lists = [
        [chance.choice(images if chance.random() < 0.6 else list(site)) for _ in range(each)] for _ in range(clients)
    ]
    proxy, base = f"http://127.0.0.1:{deployment.ports['subscribers']}", f"http://{HOST}:{deployment.origin_port}"
    load = [asyncio.create_task(browse(told, number, proxy, base, wanted, site)) for number, wanted in enumerate(lists)]
    parts = deployment.parts(gentle) if kills else []
    for number, part in enumerate(parts, 1):
        while told.answers < each * clients * number / (len(parts) + 1) and not all(task.done() for task in load):
            await asyncio.sleep(0.05)
        print(f"kill {part.name} after {told.answers} answers", file=sys.stderr, flush=True)
        await asyncio.to_thread(part.kill)
        await asyncio.sleep(DEAD_S)
        await asyncio.to_thread(part.restart)
    await asyncio.gather(*load)
    return told


def main() -> int:
    """Run it and print the report."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sites", type=Path, required=True, help="folder of a site's files")
    options.add_argument("--clients", type=int, default=20)
    options.add_argument("--requests", type=int, default=400, help="of all clients together")
    options.add_argument("--engine", default="sketch", help="engine of the runtimes")
    options.add_argument("--no-kills", action="store_true", help="kill nothing")
    options.add_argument("--gentle", action="store_true", help="downstream proxies get SIGTERM instead of SIGKILL")
    options.add_argument("--keep", type=Path, help="folder for state and logs; else one that is removed")
    given = options.parse_args()
    site = site_of(given.sites)
    with contextlib.ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scenario-")))
        folder.mkdir(parents=True, exist_ok=True)
        deployment = Deployment(folder, site, given.clients, given.engine)
        try:
            began_s = time.monotonic()
            work = load_and_kill(deployment, site, given.clients, given.requests, not given.no_kills, given.gentle)
            told = asyncio.run(work)
            took_s = time.monotonic() - began_s
        finally:
            deployment.stop()
        counted = sum(wire.bytes for wire in deployment.wires.values())
        by_subscriber = deployment.ledger_bytes()
    booked = sum(by_subscriber.values())
    off = abs(booked - counted) / max(1, counted)
    told.seconds.sort()
    report = {
        "clients": given.clients,
        "answers": told.answers,
        "drawn_or_recoded_images": told.drawn,
        "retries": dict(told.retries),
        "broken": told.broken,
        "seconds": round(took_s, 1),
        "p50_s": round(told.seconds[len(told.seconds) // 2], 2),
        "p95_s": round(told.seconds[int(len(told.seconds) * 0.95)], 2),
        "subscribers_in_ledger": len([name for name in by_subscriber if name]),
        "ledger_link_bytes": booked,
        "counted_link_bytes": counted,
        "off": round(off, 5),
        "kills": not given.no_kills,
        "gentle": given.gentle,
    }
    print(json.dumps(report, indent=2))
    return 0 if not told.broken and off <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
