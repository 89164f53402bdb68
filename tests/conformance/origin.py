"""An origin that says exactly what a test tells it to, byte for byte, and remembers what it was asked.

In: scripts by path. Out: answers, over http and https; `seen` has every request by path. Refuses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

REASONS = {200: "OK", 204: "No Content", 206: "Partial Content", 304: "Not Modified", 404: "Not Found"}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came to the origin."""

    method: str
    path: str
    version: str
    fields: tuple[tuple[str, str], ...]
    body: bytes
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader

    def get(self, name: str) -> str | None:
        found = self.all(name)
        return found[0] if found else None

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field.lower() == name.lower()]


Fields = tuple[tuple[str, str], ...]
# how a connection may end: left, cut, garbled, a script that says no, the loop that stops
_ENDS = (OSError, asyncio.IncompleteReadError, ValueError, AssertionError, asyncio.CancelledError)
# what is sent; None ends the connection after what was written by the script itself
Script = Callable[[Request], Awaitable[bytes | None]]


def raw(
    status: int = 200, fields: Fields = (), body: bytes = b"", *, length: bool = True, version: str = "HTTP/1.1"
) -> bytes:
    """An answer's bytes; `length` adds the Content-Length."""
    lines = [f"{version} {status} {REASONS.get(status, 'Some Reason')}"]
    lines += [f"{name}: {value}" for name, value in fields]
    if length and status not in (204, 304):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(fields: Fields, body: bytes, size: int = 4096, trailers: Fields = ()) -> bytes:
    """An answer of unknown length."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    last = "".join(f"{name}: {value}\r\n" for name, value in trailers).encode("latin-1")
    return raw(200, (*fields, ("Transfer-Encoding", "chunked")), length=False) + coded + b"0\r\n" + last + b"\r\n"


def always(data: bytes, then_close: bool = False) -> Script:
    """The same answer each time; a HEAD gets its head only."""

    async def script(request: Request) -> bytes | None:
        sent = data if request.method != "HEAD" else data[: data.index(b"\r\n\r\n") + 4]
        if not then_close:
            return sent
        request.writer.write(sent)
        return None

    return script


class RawOrigin:
    """Serves on two ports of this machine. Unknown paths get a 404."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.seen: defaultdict[str, list[Request]] = defaultdict(list)
        self.http_port = self.https_port = 0
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.StreamWriter] = set()

    async def start(self, tls: ssl.SSLContext) -> None:
        ports = []
        for context in (None, tls):
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context, limit=1 << 20, backlog=2048)
            self._servers.append(server)
            ports.append(server.sockets[0].getsockname()[1])
        self.http_port, self.https_port = ports

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for writer in list(self._connections):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            with contextlib.suppress(*_ENDS):
                while await self._one(reader, writer):
                    pass
        finally:
            self._connections.discard(writer)
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        method, path, version = first.split(" ")
        if "://" in path:
            path = "/" + path.split("/", 3)[3]
        pairs = [line.partition(":") for line in lines]
        fields = tuple((name, value.strip(" \t")) for name, _, value in pairs)
        request = Request(method, path, version, fields, b"", writer, reader)
        body = await _request_body(reader, request)
        request = Request(method, path, version, fields, body, writer, reader)
        self.seen[path].append(request)
        script = self.scripts.get(path, always(raw(404, (("Content-Type", "text/plain"),), b"no such path")))
        answer = await script(request)
        if answer is None:
            await writer.drain()
            return False
        writer.write(answer)
        await writer.drain()
        keep = version == "HTTP/1.1" and "close" not in (request.get("connection") or "").lower()
        return keep and (b"\r\nContent-Length:" in answer or b"chunked" in answer or b" 204 " in answer[:20])


async def _request_body(reader: asyncio.StreamReader, request: Request) -> bytes:
    length = request.get("content-length")
    if "chunked" in (request.get("transfer-encoding") or "").lower():
        found = bytearray()
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            found += (await reader.readexactly(size + 2))[:-2]
        while (await reader.readuntil(b"\r\n")) != b"\r\n":
            pass
        return bytes(found)
    return await reader.readexactly(int(length)) if length else b""
