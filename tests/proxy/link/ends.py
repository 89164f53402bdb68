"""A near end and a far end in one process, over real sockets, in front of a small HTTP proxy of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from proxy.link.far import FarEnd, FarSettings
from proxy.link.near import NearEnd
from proxy.link.pairing import pair_here
from proxy.link.session import PATIENT, Patience

Answer = Callable[[str, dict[str, str], bytes, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Upstream:
    """Stands in for the upstream proxy: `seen` has request lines, `answer` writes what comes back."""

    answer: Answer
    seen: list[str] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    gone: int = 0  # connections that ended while an answer was written

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while line := await reader.readline():
                headers: dict[str, str] = {}
                while (field_line := await reader.readline()) not in (b"\r\n", b""):
                    name, _, value = field_line.decode().partition(":")
                    headers[name] = value.strip()
                body = await reader.readexactly(int(headers.get("Content-Length", "0")))
                if headers.get("Transfer-Encoding") == "chunked":
                    while size := int(await reader.readline(), 16):
                        body += await reader.readexactly(size)
                        await reader.readline()
                    await reader.readline()
                self.seen.append(line.decode().strip())
                self.heads.append(headers)
                if line.startswith(b"CONNECT"):
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    while data := await reader.read(65536):
                        writer.write(data.upper())
                    break
                await self.answer(line.decode().strip(), headers, body, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.gone += 1
        finally:
            writer.close()


@dataclass
class Ends:
    """Both ends; `near.ports` take requests."""

    near: NearEnd
    far: FarEnd
    upstream: Upstream
    folder: Path

    async def ask(self, request: bytes, port: int = 0) -> tuple[bytes, bytes]:
        """Send a request on loopback; returns head and body, read until the near end closes or the length is there."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.near.ports[port])
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            if request.startswith(b"HEAD"):
                return head, b""
            if b"content-length:" in lower:
                length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
                return head, await reader.readexactly(length)
            body = b""
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readline()
            return head, body
        finally:
            writer.close()

    async def get(self, url: str, *fields: str) -> tuple[bytes, bytes]:
        """Ask for a URL in absolute form."""
        lines = [f"GET {url} HTTP/1.1", f"Host: {url.split('/')[2]}", *fields, "", ""]
        return await self.ask("\r\n".join(lines).encode())


@contextlib.asynccontextmanager
async def both_ends(
    folder: Path,
    answer: Answer,
    patience: Patience = PATIENT,
    repeat_bytes: int = 1_000_000,
) -> AsyncIterator[Ends]:
    """Start everything on free ports."""
    upstream = Upstream(answer)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    pair_here(folder / "far", folder / "near")
    far = FarEnd(FarSettings(folder / "far", "127.0.0.1", 0), patience=patience)
    await far.start("127.0.0.1", server.sockets[0].getsockname()[1])
    near = NearEnd(folder / "near", "127.0.0.1", far.port, repeat_bytes, patience, ports=2)
    await near.start()
    try:
        yield Ends(near, far, upstream, folder)
    finally:
        await near.stop()
        await far.stop()
        server.close()


async def plain(line: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
    """Answers with the request line and the size of the body."""
    text = f"{line} {len(body)}".encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: x\r\nContent-Length: %d\r\n\r\n" % len(text))
    writer.write(b"" if line.startswith("HEAD") else text)
