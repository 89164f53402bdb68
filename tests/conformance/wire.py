"""HTTP/1 as bytes on a socket, for tests that must see exactly what comes.

In: a connection, bytes to send. Out: `Answer`s: heads with fields as they came, bodies, interim answers, trailers.
Refuses: to wait for ever, and to repair anything.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from typing import Self

LIMIT_S = 40.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `whole` is False when the connection ended before the body did."""

    version: str
    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    interim: tuple[int, ...] = ()
    trailers: tuple[tuple[str, str], ...] = ()
    whole: bool = True
    head_s: float = 0.0  # until the head was here

    def get(self, name: str) -> str | None:
        found = self.all(name)
        return found[0] if found else None

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field.lower() == name.lower()]

    @property
    def type(self) -> str:
        return (self.get("content-type") or "").partition(";")[0].lower()

    def list(self, name: str) -> list[str]:
        return [item.strip().lower() for value in self.all(name) for item in value.split(",") if item.strip()]


class Wire:
    """A client's connection; `closed` once the other side has ended it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))

    async def start_tls(self, host: str, context: ssl.SSLContext) -> None:
        await self.writer.start_tls(context, server_hostname=host)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, method: str = "GET", body: bool = True, limit_s: float = LIMIT_S) -> Answer:
        """The next final answer. With body=False only its head is read."""
        async with asyncio.timeout(limit_s):
            return await self._answer(method, body)

    async def _answer(self, method: str, with_body: bool) -> Answer:
        began, interim = time.monotonic(), []
        while True:
            version, status, fields = await self._head()
            if not 100 <= status < 200 or status == 101:
                break
            interim.append(status)
        answer = Answer(version, status, fields, b"", tuple(interim), head_s=time.monotonic() - began)
        if not with_body or method == "HEAD" or status in (101, 204, 304) or (method == "CONNECT" and status == 200):
            return answer
        body, trailers, whole = await self._body(answer)
        return Answer(version, status, fields, body, answer.interim, trailers, whole, answer.head_s)

    async def _head(self) -> tuple[str, int, tuple[tuple[str, str], ...]]:
        raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        version, status = first.split(" ", 2)[:2]
        return version, int(status), _fields(lines)

    async def _body(self, answer: Answer) -> tuple[bytes, tuple[tuple[str, str], ...], bool]:
        if "chunked" in answer.list("transfer-encoding"):
            return await self._chunks()
        length = answer.get("content-length")
        if length is None:
            return await self.reader.read(), (), True
        try:
            return await self.reader.readexactly(int(length)), (), True
        except asyncio.IncompleteReadError as error:
            return error.partial, (), False

    async def _chunks(self) -> tuple[bytes, tuple[tuple[str, str], ...], bool]:
        found = bytearray()
        try:
            while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                found += (await self.reader.readexactly(size + 2))[:-2]
            lines = []
            while line := (await self.reader.readuntil(b"\r\n"))[:-2]:
                lines.append(line.decode("latin-1"))
        except (asyncio.IncompleteReadError, ValueError):
            return bytes(found), (), False
        return bytes(found), _fields(lines), True

    async def is_open(self, wait_s: float = 0.3) -> bool:
        """Whether the other side keeps the connection, with nothing more to say on it."""
        try:
            async with asyncio.timeout(wait_s):
                return bool(await self.reader.read(1))
        except TimeoutError:
            return True

    def close(self) -> None:
        self.writer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


def _fields(lines: list[str]) -> tuple[tuple[str, str], ...]:
    pairs = (line.partition(":") for line in lines)
    return tuple((name, value.strip(" \t")) for name, _, value in pairs)
