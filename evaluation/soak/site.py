"""A site to browse for a long time: a folder as it is, or a small one made here; served over http and https.

In: a folder. Out: `Served`: where the pages are. Refuses: folders without pages (`ValueError`), paths outside of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import mimetypes
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import skimage.data
from aiohttp import web
from PIL import Image

from proxy.demo.certificates import make_certificates
from proxy.demo.origin import Origin

HOST = "soak.demo.test"
PICTURES = ("coffee", "astronaut", "rocket", "chelsea")
PAGES = 6


@dataclass(frozen=True, slots=True)
class Served:
    """A running origin and the paths of its pages."""

    origin: Origin
    pages: tuple[str, ...]


def make_site(folder: Path) -> None:
    """Write a small site: a few pages with photographs, drawings of one colour, a style and a script."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.css").write_text("body { font: 16px sans-serif }\n" * 40)
    (folder / "site.js").write_text("console.log('here');\n" * 60)
    for number, name in enumerate(PICTURES):
        picture = Image.fromarray(getattr(skimage.data, name)()).convert("RGB").resize((480, 320))
        picture.save(folder / f"{name}.jpg", quality=85)
        picture.rotate(90 * number).resize((200, 140)).save(folder / f"{name}.png")
    for number in range(PAGES):
        images = "".join(f'<img src="{n}.jpg" alt="{n}"><img src="{n}.png">' for n in PICTURES[number % 2 :: 2])
        head = '<link rel="stylesheet" href="site.css"><script src="site.js"></script>'
        text = f"<p>Page {number}. " + "Words about pictures. " * 120
        (folder / f"page{number}.html").write_text(f"<!doctype html>{head}<h1>Page {number}</h1>{images}{text}")


@contextlib.asynccontextmanager
async def serve(folder: Path, state: Path) -> AsyncIterator[Served]:
    """Serve a folder until the context ends; certificates are written to `state`."""
    pages = tuple(sorted(f"/{file.relative_to(folder).as_posix()}" for file in folder.rglob("*.html")))
    if not pages:
        raise ValueError(f"{folder} has no .html files")
    certificates = make_certificates(state, HOST)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.leaf, certificates.leaf_key)
    runner = web.AppRunner(_app(folder), access_log=None)
    await runner.setup()
    try:
        ports = []
        for tls in (None, context):
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
            ports.append(int(runner.addresses[-1][1]))
        yield Served(Origin(HOST, ports[0], ports[1], certificates.ca, certificates.leaf), pages)
    finally:
        await runner.cleanup()


def _app(folder: Path) -> web.Application:
    root = folder.resolve()

    async def answer(request: web.Request) -> web.Response:
        file = (root / request.path.lstrip("/")).resolve()
        if not file.is_relative_to(root) or not file.is_file():
            return web.Response(status=404, text="There is no such page.\n")
        body = file.read_bytes()
        media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        fields = {"ETag": tag, "Cache-Control": "max-age=2"}
        if tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=fields)
        return web.Response(body=body, headers={**fields, "Content-Type": media_type})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    return app
