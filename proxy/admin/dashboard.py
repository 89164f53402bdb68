"""The dashboard: a page about what a proxy does now, and a stream of what changes in it.

In: requests to `/`, `/dashboard.css`, `/dashboard.js`, `/events`; a function that tells what there is to show. Out:
answers under a policy that lets the page load nothing but its own parts. Refuses: more watchers than `WATCHERS` (503).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from importlib import resources

from aiohttp import web

from proxy import __version__
from proxy.admin.page import page
from proxy.admin.server import HEADERS
from proxy.admin.telling import Told, changed

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
WATCHERS = 16
EVERY_S, QUIET_S = 2.0, 15.0


class Dashboard:
    """The routes of one proxy's dashboard. `tell` is asked for the page, and every `every_s` for whoever watches."""

    def __init__(self, role: str, tell: Callable[[], Awaitable[Told]], every_s: float = EVERY_S) -> None:
        self._role = role
        self._tell = tell
        self._every_s = every_s
        self._closing = asyncio.Event()
        self.watchers = 0

    def routes(self) -> list[web.AbstractRouteDef]:
        """To add to the admin server's."""
        return [
            web.get("/", self._page),
            web.get("/dashboard.css", _file("dashboard.css", "text/css")),
            web.get("/dashboard.js", _file("dashboard.js", "text/javascript")),
            web.get("/events", self._events),
        ]

    def close(self) -> None:
        """End all streams, so that the server can stop at once."""
        self._closing.set()

    async def _page(self, request: web.Request) -> web.Response:
        document = page(
            await self._tell(), self._role, f"Sketchwire {__version__}", time.strftime("%H:%M:%S", time.gmtime())
        )
        return _answer(document, "text/html")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self.watchers >= WATCHERS or self._closing.is_set():
            raise web.HTTPServiceUnavailable
        kind = {"Content-Type": "text/event-stream", "Content-Security-Policy": POLICY}
        stream = web.StreamResponse(headers=HEADERS | kind)
        self.watchers += 1
        try:
            await stream.prepare(request)
            with contextlib.suppress(ConnectionError):
                await self._send(stream)
        finally:
            self.watchers -= 1
        return stream

    async def _send(self, stream: web.StreamResponse) -> None:
        """What changes, until the reader is gone or the proxy ends; a comment now and then finds out who is."""
        known: Told = {}
        spoken_s = time.monotonic()
        while not self._closing.is_set():
            now = await self._tell()
            new = changed(known, now)
            if new:
                line = json.dumps(new, ensure_ascii=False, separators=(",", ":"))
                await stream.write(f"data: {line}\n\n".encode())
            elif time.monotonic() - spoken_s > QUIET_S:
                await stream.write(b":\n\n")
            if new or time.monotonic() - spoken_s > QUIET_S:
                spoken_s = time.monotonic()
            known = now
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._every_s)


def _answer(body: bytes, media_type: str) -> web.Response:
    answer = web.Response(body=body, content_type=media_type, charset="utf-8")
    answer.headers["Content-Security-Policy"] = POLICY
    answer.enable_compression()
    return answer


def _file(name: str, media_type: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    body = resources.files(__package__).joinpath(name).read_bytes()

    async def handler(request: web.Request) -> web.StreamResponse:
        return _answer(body, media_type)

    return handler
