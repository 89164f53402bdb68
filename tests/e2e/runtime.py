"""A runtime for tests: it draws every bundle in one colour, and misbehaves on request."""

from __future__ import annotations

import asyncio
import io
from urllib.parse import unquote

from aiohttp import web
from PIL import Image

from proxy.bundle import Bundle, unpack

COLOUR = (10, 200, 30)
ENGINE, FINGERPRINT = "diffusion", "0123456789abcdef"  # an engine that reads prompts


class FakeRuntime:
    """`behave()` makes it well again; `ill` is one of "", "gone", "slow", "busy", "wrong-size", "garbage"."""

    def __init__(self) -> None:
        self.ill = ""
        self.prompts: list[str | None] = []
        self.bundles: list[Bundle] = []

    def behave(self) -> None:
        self.ill = ""
        self.prompts.clear()
        self.bundles.clear()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/capabilities", self._capabilities)
        app.router.add_post("/v1/reconstruct", self._reconstruct)
        return app

    async def _capabilities(self, request: web.Request) -> web.Response:
        modes = ["prompt", "edges", "edges+palette", "thumbnail", "salient"]
        told = {"engine": ENGINE, "fingerprint": FINGERPRINT, "modes": modes, "version": "1", "fallback": "preview"}
        return web.json_response(told)

    async def _reconstruct(self, request: web.Request) -> web.Response:
        bundle = unpack(await request.read())
        prompt = request.headers.get("Sketchwire-Prompt")
        self.prompts.append(unquote(prompt) if prompt else None)
        self.bundles.append(bundle)
        if self.ill == "gone":
            assert request.transport is not None
            request.transport.abort()
        if self.ill == "slow":
            await asyncio.sleep(30)
        if self.ill == "busy":
            return web.json_response({"error": "full"}, status=503, headers={"Retry-After": "1"})
        size = (bundle.width_px + (self.ill == "wrong-size"), bundle.height_px)
        media_type = request.headers["Accept"]
        out = io.BytesIO()
        Image.new("RGB", size, COLOUR).save(out, media_type.partition("/")[2].upper())
        body = b"no image" if self.ill == "garbage" else out.getvalue()
        headers = {"Sketchwire-Engine": f"{ENGINE}@{FINGERPRINT[:8]}", "Sketchwire-Cache": "miss"}
        headers |= {"Sketchwire-Queue-Ms": "1", "Sketchwire-Reconstruct-Ms": "2"}
        return web.Response(body=body, content_type=media_type, headers=headers)
