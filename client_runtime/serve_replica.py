"""One copy of the engine and its HTTP API, in a process that Ray Serve starts, checks and replaces.

In: a `RuntimeConfig` as a dictionary, requests as Starlette has them. Out: `service.api`'s answers. Refuses: as that
does; while its engine hangs it says that it is not healthy, and Ray replaces it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from multidict import CIMultiDict

from client_runtime import engines
from client_runtime.engines.base import Engine
from client_runtime.serve_queue import ServeQueue
from client_runtime.service.api import Service, guarded
from client_runtime.service.work import Workshop
from proxy.config import RuntimeConfig

HEALTH_LIMIT_S, DRAIN_S = 20.0, 20.0

MakeEngine = Callable[[RuntimeConfig], Engine]


class Asked:
    """What `Service` reads of an aiohttp request, from a Starlette one."""

    def __init__(self, request: Any) -> None:
        self.headers = CIMultiDict((name, value) for name, value in request.headers.items())
        length = self.headers.get("Content-Length", "")
        self.content_length = int(length) if length.isascii() and length.isdigit() else None
        self.content = self
        self._chunks: AsyncIterator[bytes] = request.stream()

    async def readany(self) -> bytes:
        """The next part of the body; empty at its end."""
        async for chunk in self._chunks:
            if chunk:
                return chunk
        return b""


class Replica:
    """One copy of the engine and its HTTP API; Ray makes it, in a process of its own."""

    def __init__(self, settings: dict[str, Any], make_engine: MakeEngine | None, prefix: str) -> None:
        config = RuntimeConfig(**settings)
        # a folder of its own: the cache counts its size in memory, so that two processes would exceed the limit
        own = Path(config.state_dir).expanduser() / f"replica-{os.getpid()}"
        config = replace(config, state_dir=str(own))
        make = make_engine or engines.create
        self._service = Service(config, lambda: make(config))
        self._service.workshop = Workshop(config, lambda: make(config), ServeQueue)
        self._prefix = prefix.rstrip("/")
        self._started = asyncio.Lock()
        self._ready = False
        self._routes: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("POST", "/v1/reconstruct"): self._service.reconstruct,
            ("GET", "/v1/capabilities"): self._service.capabilities,
            ("GET", "/healthz"): self._service.health,
            ("GET", "/metrics"): self._service.metrics,
        }

    async def check_health(self) -> None:
        """Ray asks this before a copy gets its first request and then regularly; raises when the engine hangs."""
        async with self._started:
            if not self._ready:
                await self._service.workshop.start()
                self._ready = True
        if self._service.workshop.stuck_s() > HEALTH_LIMIT_S + self._service.config.deadline_s:
            raise RuntimeError("the engine has drawn the same batch for too long")

    async def __call__(self, request: Any) -> Any:
        """Answer one request."""
        from starlette.responses import Response

        if not self._ready:
            await self.check_health()
        path = request.url.path.removeprefix(self._prefix)
        handler = self._routes.get((request.method, path))
        if handler is None:
            methods = [method for method, known in self._routes if known == path]
            answer = web.json_response({"error": "method not allowed" if methods else "not found"})
            answer.set_status(405 if methods else 404)
            if methods:
                answer.headers["Allow"] = ", ".join(methods)
        else:
            answer = cast(web.Response, await guarded(self._service, Asked(request), handler))
        body = answer.body if isinstance(answer.body, bytes) else b""
        return Response(body, answer.status, headers=dict(answer.headers) | {"Content-Type": answer.content_type})

    async def __del__(self) -> None:
        """Ray calls this when the copy is taken out of service, after the requests in hand were answered."""
        self._service.draining = True
        if self._ready:
            await self._service.workshop.close(DRAIN_S / 2)
