"""Clients of the deployment, the site that they fetch, and the count of what crosses for each of them.

In: a folder of a site's files; a proxy. Out: what the clients met, bytes by client. Refuses: nothing; what is wrong is
written down.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import mimetypes
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from PIL import Image

ACCEPT = "image/avif,image/webp,image/png,image/*,*/*;q=0.8"
PASSWORD = "correct horse battery"
TRIES = 4
FIELD = "X-Scenario-Client"
NAMED = re.compile(rb"\r\nx-scenario-client: (\d+)\r\n", re.IGNORECASE)


@dataclass(slots=True)
class Whose:
    """A connection's bytes, and the client they belong to."""

    client: str = ""
    bytes: int = 0


class Wire:
    """Forwards TCP to a port from a loopback address of its own, and counts for whom.

    A proxy keeps a connection for each of its clients, and clients name themselves in a field of their requests, so
    that the first request on a connection tells whose bytes pass.
    """

    def __init__(self, target_port: int, source: str) -> None:
        self._target_port, self._source = target_port, source
        self.port = 0
        self.bytes: Counter[str] = Counter()  # by client; "" where nobody was named

    async def start(self) -> None:
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far = await asyncio.open_connection("127.0.0.1", self._target_port, local_addr=(self._source, 0))
        except OSError:
            writer.transport.abort()
            return
        whose = Whose()
        try:
            await asyncio.gather(self._pipe(reader, far[1], whose, True), self._pipe(far[0], writer, whose, False))
        finally:
            self.bytes[whose.client] += whose.bytes

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, whose: Whose, up: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                whose.bytes += len(chunk)
                if up and not whose.client and (found := NAMED.search(chunk)):
                    whose.client = found[1].decode()
                writer.write(chunk)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()


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
    headers = {"Accept": ACCEPT, "Proxy-Authorization": f"Basic {secret}", FIELD: str(client)}
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
