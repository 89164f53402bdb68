"""Where rules are tried: an origin, a proxy (our pair, or another one beside it), and raw connections to it.

In: what the origin answers and what the browser asks. Out: `Got`: the browser's answer and the origin's requests.
Refuses: to wait for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.origin import RawOrigin, Request, Script, always
from tests.conformance.wire import LIMIT_S, Answer, Wire
from tests.e2e.certificates import make_authority, make_leaf
from tests.e2e.conftest import CACHED, Process, start_proxy

HOST = "www.conform.test"
OTHER_PROXY = "/usr/bin/ziproxy"
IMAGE = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
ANY = "*/*"
PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Got:
    """What a browser got, and what the origin was asked for it."""

    answer: Answer
    seen: list[Request]
    path: str

    @property
    def asked(self) -> Request:
        assert self.seen, "the origin was never asked"
        return self.seen[-1]


@dataclass
class Stand:
    """A proxy with an origin behind it. `host` is the origin's name to that proxy."""

    port: int
    host: str
    origin: RawOrigin
    trust: ssl.SSLContext | None = None
    is_ours: bool = True
    limit_s: float = LIMIT_S
    upstream_port: int = 0
    processes: tuple[Process, ...] = ()
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.origin.http_port}"

    def place(self, reply: bytes | Script, name: str = "picture") -> str:
        """A new path with this behind it."""
        path = f"/{next(self._numbers)}/{name}"
        self.origin.scripts[path] = always(reply) if isinstance(reply, bytes) else reply
        return path

    def head(
        self, path: str, fields: Fields = (), method: str = "GET", accept: str = IMAGE, version: str = "HTTP/1.1"
    ) -> bytes:
        """A request's head as a browser sends it to a proxy."""
        lines = [f"{method} http://{self.authority}{path} {version}", f"Host: {self.authority}"]
        if accept and not any(name.lower() == "accept" for name, _ in fields):
            lines.append(f"Accept: {accept}")
        lines += [f"{name}: {value}" for name, value in fields]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    async def open(self, port: int = 0) -> Wire:
        return await Wire.open(port or self.port)

    async def ask(
        self,
        reply: bytes | Script | None = None,
        fields: Fields = (),
        *,
        method: str = "GET",
        accept: str = IMAGE,
        body: bytes = b"",
        path: str = "",
        version: str = "HTTP/1.1",
        port: int = 0,
        limit_s: float = 0.0,
    ) -> Got:
        """One request on a connection of its own, for a new path with `reply` behind it, or for `path`."""
        path = path or self.place(reply if reply is not None else b"")
        before = len(self.origin.seen[path])
        length = (("Content-Length", str(len(body))),) if body else ()
        async with await self.open(port) as wire:
            await wire.send(self.head(path, (*fields, *length), method, accept, version) + body)
            answer = await wire.answer(method, limit_s=limit_s or self.limit_s)
        return Got(answer, self.origin.seen[path][before:], path)

    async def tunnel(self) -> Wire:
        """A connection to the https origin, TLS inside a CONNECT, as our pair answers it."""
        assert self.trust is not None
        wire = await self.open()
        authority = f"{self.host}:{self.origin.https_port}"
        await wire.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        opened = await wire.answer("CONNECT", limit_s=self.limit_s)
        assert opened.status == 200
        await wire.start_tls(self.host, self.trust)
        return wire


@contextlib.asynccontextmanager
async def pair(folder: Path, **upstream: object) -> AsyncIterator[Stand]:
    """Our pair, as processes. Keywords are options of the upstream proxy."""
    origin, authority = RawOrigin(), make_authority(folder / "origin-ca.pem")
    await origin.start(make_leaf(authority, HOST, folder / "origin.pem"))
    far: dict[str, object] = {
        "hosts": [f"{HOST}=127.0.0.1"],
        "allow_private_targets": [f"{HOST}:{origin.http_port}", f"{HOST}:{origin.https_port}"],
        "origin_ca": str(folder / "origin-ca.pem"),
        "encode_deadline_s": 30.0,
        "encode_background_s": 40.0,
        "max_image_bytes": 8 << 20,
        **upstream,
    }
    # a thousand requests at once, on a machine of two cores; the cache as it is unless configured
    patient: dict[str, dict[str, object]] = {"access": {"connect_deadline_s": 60.0}, **CACHED}
    processes: list[Process] = []
    try:
        processes.append(await asyncio.to_thread(start_proxy, "upstream", folder, far, 2.0, patient))
        near = {"upstream": processes[0].url, "upstream_ca": str(processes[0].ca), "runtime": ""}
        processes.append(await asyncio.to_thread(start_proxy, "downstream", folder, near, 2.0, patient))
        trust = ssl.create_default_context(cafile=str(processes[1].ca))
        port, far_port = processes[1].port, processes[0].port
        yield Stand(port, HOST, origin, trust, upstream_port=far_port, processes=tuple(processes))
    finally:
        for process in reversed(processes):
            await asyncio.to_thread(process.stop)
        await origin.stop()


@contextlib.asynccontextmanager
async def other() -> AsyncIterator[Stand | None]:
    """The other proxy with its default settings, or None where it is not installed."""
    if shutil.which(OTHER_PROXY) is None:
        yield None
        return
    origin = RawOrigin()
    with tempfile.TemporaryDirectory() as name, socket.socket() as free:
        folder = Path(name)
        await origin.start(make_leaf(make_authority(folder / "ca.pem"), HOST, folder / "leaf.pem"))
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        settings = (
            f'Port = {port}\nAddress = "127.0.0.1"\nPIDFile = "{folder}/pid"\nErrorLog = "{folder}/errors"\n'
            "UseContentLength = false\nImageQuality = {30,25,25,20}\nMaxActiveUserConnections = 2000\n"
        )
        (folder / "conf").write_text(settings)
        command = [OTHER_PROXY, "-d", "-c", str(folder / "conf"), "-p", str(folder / "pid")]
        with (folder / "said").open("wb") as said:
            started = await asyncio.to_thread(subprocess.run, command, stdout=said, stderr=said, timeout=20)
        try:
            if started.returncode or not await _listens(port):
                yield None
                return
            yield Stand(port, "127.0.0.1", origin, is_ours=False, limit_s=20.0)
        finally:
            await origin.stop()
            with contextlib.suppress(OSError, ValueError):
                pid = int((folder / "pid").read_text())
                os.kill(pid, signal.SIGTERM)


async def _listens(port: int) -> bool:
    for _ in range(50):
        with contextlib.suppress(OSError):
            (await Wire.open(port)).close()
            return True
        await asyncio.sleep(0.1)
    return False
