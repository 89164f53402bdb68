"""A small web for tests: a few sites on addresses of their own, pages with images, and a log of who asked for what."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from aiohttp import web
from PIL import Image


def picture(number: int, size: tuple[int, int] = (640, 400), kind: str = "JPEG", mode: str = "RGB") -> bytes:
    """A file of smooth colours that differs by number."""
    small = np.random.default_rng(number).integers(0, 256, (8, 8, len(mode)), np.uint8)
    out = io.BytesIO()
    Image.fromarray(small, mode).resize(size).save(out, kind)
    return out.getvalue()


@dataclass
class Host:
    """One site: what its paths answer with, and the requests it saw, in order."""

    robots: str | None = None
    files: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    origin: str = ""
    before: Callable[[str], None] = lambda path: None

    def add(self, path: str, body: bytes | str, kind: str = "image/jpeg", **headers: str) -> None:
        """Answer `path` with this."""
        data = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.files[path] = (
            data,
            {"Content-Type": "text/html; charset=utf-8" if isinstance(body, str) else kind, **named},
        )

    @property
    def paths(self) -> list[str]:
        """What was asked for, robots.txt aside."""
        return [path for path, _ in self.log if path != "/robots.txt"]

    async def answer(self, request: web.Request) -> web.Response:
        """Any request."""
        self.log.append((request.path, request.headers.get("User-Agent", "")))
        self.before(request.path)
        if request.path == "/robots.txt":
            return web.Response(text=self.robots) if self.robots is not None else web.Response(status=404)
        if request.path not in self.files:
            return web.Response(status=404)
        body, headers = self.files[request.path]
        if "Location" in headers:
            return web.Response(status=302, headers=headers)
        return web.Response(body=body, headers=headers)


@asynccontextmanager
async def serving(*hosts: Host) -> AsyncIterator[None]:
    """Each host on a loopback address of its own, port 0."""
    runners = []
    try:
        for number, host in enumerate(hosts, 1):
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", host.answer)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            runners.append(runner)
            site = web.TCPSite(runner, f"127.0.0.{number}", 0)
            await site.start()
            host.origin = f"http://127.0.0.{number}:{runner.addresses[0][1]}"
        yield
    finally:
        for runner in runners:
            await runner.cleanup()


def page(*images: str, links: tuple[str, ...] = (), head: str = "") -> str:
    """A page with figures and links."""
    figures = "".join(
        f'<figure><img src="{src}" alt="A river by the town of {n}" width="320" height="200">'
        f"<figcaption>The river in spring, seen from bridge {n}</figcaption></figure>"
        for n, src in enumerate(images)
    )
    anchors = "".join(f'<a href="{link}">on</a>' for link in links)
    body = f"<body><h1>Rivers</h1>{figures}{anchors}</body>"
    return f"<!doctype html><html><head><title>Rivers</title>{head}</head>{body}</html>"


def listed(file: Path, *rows: tuple[Host, int, str]) -> Path:
    """The list of the sites that are being served."""
    lines = [f"{host.origin},{rank},{category}" for host, rank, category in rows]
    file.write_text("\n".join(("origin,rank,category", *lines)) + "\n")
    return file
