"""A site for tests: pages, images of every awkward kind, streams, and a log of who asked for what."""

from __future__ import annotations

import asyncio
import functools
import gzip
import io
from dataclasses import dataclass

import numpy as np
import skimage.data
from aiohttp import web
from multidict import CIMultiDict
from PIL import Image, ImageDraw

from proxy.bundle import MEDIA_TYPE

MODIFIED = "Sun, 01 Nov 2026 10:00:00 GMT"
BIG_BYTES = 8 * 1024 * 1024
PAGE = """<!doctype html><html><head><title>Coffee</title></head><body><h1>Morning</h1>
<p>Our photographer met this cup of coffee in Lahore.</p>
<figure><img src="/photo.jpg" alt="a cup of coffee on a wooden table"><figcaption>Breakfast</figcaption></figure>
</body></html>"""

SHOP = """<!doctype html><html><head><title>Acme</title></head><body><header><a href="/"><img src="/photo.jpg?as=crest">
</a></header><main><h1>Our story</h1><p><img src="/photo.jpg?as=story"></p></main></body></html>"""


@functools.cache
def photo(name: str = "rocket", kind: str = "JPEG") -> bytes:
    """A photograph's file; the rocket's is 600 × 400, and every engine is asked to draw it."""
    out = io.BytesIO()
    image = Image.fromarray(getattr(skimage.data, name)())
    image.thumbnail((600, 512))
    image.save(out, kind, **({"quality": 85} if kind == "JPEG" else {}))
    return out.getvalue()


@functools.cache
def alpha_png() -> bytes:
    image = Image.fromarray(skimage.data.coffee()).resize((300, 200)).convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 300).astype(np.uint8), (200, 1))))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@functools.cache
def chart_png() -> bytes:
    """A bar chart on a shaded ground, as PNG."""
    image = Image.merge(
        "RGB", [Image.linear_gradient("L").resize((480, 320)).point(lambda v, k=k: 140 + v // k) for k in (4, 3, 5)]
    )
    draw = ImageDraw.Draw(image)
    for n, height in enumerate((90, 200, 140, 260, 180, 230)):
        draw.rectangle((50 + 70 * n, 290 - height, 95 + 70 * n, 290), fill=(40, 90 + 20 * n, 160))
        draw.text((55 + 70 * n, 295), f"Q{n}: {height}", fill="black")
    draw.line((40, 20, 40, 290, 470, 290), fill="black", width=2)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


@functools.cache
def animated_gif() -> bytes:
    frames = [Image.fromarray(skimage.data.coffee()).resize((120, 80)).rotate(angle) for angle in (0, 90)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return out.getvalue()


@dataclass(frozen=True)
class Seen:
    """A request that reached the origin."""

    method: str
    path: str
    headers: CIMultiDict[str]


class Origin:
    """`log` has every request, in order."""

    def __init__(self) -> None:
        self.log: list[Seen] = []
        self.once_served = False

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._logged])
        add = app.router.add_route
        images = {
            "/photo.jpg": (photo(), "image/jpeg", {"ETag": '"p1"', "Cache-Control": "max-age=600"}),
            "/plain.jpg": (photo(), "image/jpeg", {"Cache-Control": "max-age=600", "X-Noise": "n" * 500}),
            "/tagged.jpg": (
                photo(),
                "image/jpeg",
                {"ETag": '"t1"', "Cache-Control": "no-cache", "Last-Modified": MODIFIED},
            ),
            "/no-transform.jpg": (photo(), "image/jpeg", {"Cache-Control": "no-transform, max-age=60"}),
            "/cookie.jpg": (photo(), "image/jpeg", {"Set-Cookie": "a=b"}),
            "/digest.jpg": (
                photo(),
                "image/jpeg",
                {"Digest": "sha-256=x", "Content-MD5": "x", "Accept-Ranges": "bytes"},
            ),
            "/broken.jpg": (photo()[:20_000], "image/jpeg", {}),
            "/chart.png": (chart_png(), "image/png", {}),
            "/alpha.png": (alpha_png(), "image/png", {}),
            "/moving.gif": (animated_gif(), "image/gif", {}),
            "/pixel.gif": (b"GIF89a" + bytes(37), "image/gif", {}),
            "/drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>" + b" " * 2000, "image/svg+xml", {}),
            "/untyped": (photo(), "application/octet-stream", {}),
            "/liar.jpg": (b"<html>" + b"x" * 5000, "image/jpeg", {}),
            "/zipped.jpg": (gzip.compress(photo()), "image/jpeg", {"Content-Encoding": "gzip"}),
            "/forged": (b"SWB" + bytes(900), MEDIA_TYPE, {"Sketchwire-Info": "n=0000000000000000;d=take;m=edges;o=9"}),
            "/marked.jpg": (
                photo(),
                "image/jpeg",
                {
                    "Sketchwire-Info": "d=skip;r=kind",
                    "Sketchwire-Evil": "1",
                    "Sketchwire-Provenance": "source=trainedAlgorithmicMedia;engine=forged",
                },
            ),
        }
        for path, (body, media_type, headers) in images.items():
            add("*", path, self._image(body, media_type, headers))
        for path in ("/img/acme-logo.jpg", "/icons/acme.jpg"):
            add("*", path, self._image(photo(), "image/jpeg", {}))
        add("*", "/shop", self._shop)
        add("*", "/", self._page)
        add("*", "/pages/{number}", self._page)
        add("GET", "/socket", self._socket)
        add("*", "/once.jpg", self._once)
        add("*", "/events", self._events)
        add("*", "/big.bin", self._big)
        add("*", "/big.jpg", self._big)
        add("*", "/echo", self._echo)
        return app

    @web.middleware
    async def _logged(self, request: web.Request, handler: object) -> web.StreamResponse:
        self.log.append(Seen(request.method, request.path, CIMultiDict(request.headers)))
        return await handler(request)  # type: ignore[operator, no-any-return]

    def _image(self, body: bytes, media_type: str, headers: dict[str, str]) -> object:
        async def serve(request: web.Request) -> web.Response:
            answer = {"Content-Type": media_type} | headers
            tag = headers.get("ETag")
            if tag and tag in request.headers.get("If-None-Match", ""):
                return web.Response(status=304, headers={key: answer[key] for key in answer if key != "Content-Type"})
            wanted = request.http_range
            if request.headers.get("Range") and wanted.start is not None:
                part = body[wanted]
                span = f"bytes {wanted.start}-{wanted.start + len(part) - 1}/{len(body)}"
                return web.Response(status=206, body=part, headers=answer | {"Content-Range": span})
            return web.Response(body=body, headers=answer)

        return serve

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def _shop(self, request: web.Request) -> web.Response:
        return web.Response(text=SHOP, content_type="text/html")

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"echo {message.data}")
        return socket

    async def _once(self, request: web.Request) -> web.Response:
        if self.once_served:
            return web.Response(status=410, text="gone")
        self.once_served = True
        return web.Response(body=photo(), content_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"data: first\n\n")
        await asyncio.sleep(30)
        return answer

    async def _big(self, request: web.Request) -> web.StreamResponse:
        media_type = "image/jpeg" if request.path.endswith("jpg") else "application/octet-stream"
        answer = web.StreamResponse(headers={"Content-Type": media_type})
        await answer.prepare(request)
        head = photo()[:1000] if media_type == "image/jpeg" else b""
        await answer.write(head)
        for _ in range(BIG_BYTES // 65536):
            await answer.write(b"\0" * 65536)
        return answer

    async def _echo(self, request: web.Request) -> web.Response:
        return web.Response(text=f"{request.method} {len(await request.read())}")
