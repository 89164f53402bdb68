"""The runtime's HTTP API, version 1.

In: `POST /v1/reconstruct` with a bundle as its body, `GET /v1/capabilities`, `GET /healthz`. Out: an image file, or
JSON. Refuses: with a status and {"error": …}, never a traceback: 400 bad bundle or header, 403 from a web page, 406,
413, 415, 422 unsupported bundle, 503 queue full or draining (with Retry-After), 504 deadline passed, 500 nothing
could draw it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from client_runtime import __version__
from client_runtime.engines.base import Engine
from client_runtime.service.ask import MEDIA_TYPES, BadAsk, parse
from client_runtime.service.batch import DeadlinePassed, Draining, QueueFull
from client_runtime.service.counters import Counters, Event
from client_runtime.service.draw import Failed, Refused
from client_runtime.service.metrics import CONTENT_TYPE, exposition
from client_runtime.service.work import Finished, Result, Workshop
from proxy.bundle import Bundle, BundleError, BundleTooLarge, UnsupportedBundle, unpack
from proxy.bundle.provenance import FIELD, field_value, provenance_of
from proxy.config import RuntimeConfig

MAX_HEADER_BYTES = 16 * 1024  # a prompt of 1,000 characters is up to 12 kB percent-encoded
RETRY_AFTER_S = 1
_WITHOUT_BODY_SPARE = 64  # requests beyond the queue that may be read or answered from the cache at a time

_log = logging.getLogger("sketchwire.runtime")
_images_log = logging.getLogger("sketchwire.runtime.images")


class Service:
    """The handlers and what they count. `drain` makes every later reconstruction end with 503."""

    def __init__(self, config: RuntimeConfig, make_engine: Callable[[], Engine]) -> None:
        self.config = config
        self.counters = Counters()
        self.workshop = Workshop(config, make_engine)
        self.draining = False
        self.drained_cleanly = True
        self.in_flight = 0

    async def reconstruct(self, request: web.Request) -> web.Response:
        """POST /v1/reconstruct."""
        most = self.config.queue_size + 4 * self.config.batch_size + _WITHOUT_BODY_SPARE
        if self.draining or self.in_flight >= most:
            return self._busy("going down" if self.draining else "too many requests at a time")
        self.in_flight += 1
        try:
            return await self._reconstruct(request)
        except (asyncio.CancelledError, ConnectionError):
            self.counters.add(Event.GONE)
            raise
        finally:
            self.in_flight -= 1

    async def capabilities(self, request: web.Request) -> web.Response:
        """GET /v1/capabilities."""
        workshop, config = self.workshop, self.config
        return web.json_response(
            {
                "engine": workshop.capabilities.engine,
                "fingerprint": workshop.capabilities.fingerprint,
                "modes": list(workshop.capabilities.modes),
                "version": __version__,
                "fallback": workshop.fallback.label if workshop.fallback else None,
                "media_types": list(MEDIA_TYPES),
                "max_bundle_bytes": config.max_bundle_bytes,
                "max_pixels": config.max_pixels,
            }
        )

    async def health(self, request: web.Request) -> web.Response:
        """GET /healthz: 200, or 503 once the process is going down."""
        status = "draining" if self.draining else "ok"
        about = {"status": status, "engine": self.workshop.capabilities.label, "version": __version__}
        state = {**about, **self.counters.state(), **self.workshop.state()}
        return web.json_response(state, status=503 if self.draining else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics, for Prometheus."""
        text = exposition(
            lambda: {**self.counters.state(), **self.workshop.state()}, self.workshop.capabilities.label, __version__
        )
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def _reconstruct(self, request: web.Request) -> web.Response:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        data, bundle = b"", None
        try:
            if "Origin" in request.headers:
                raise BadAsk("web pages may not use this service", 403)
            ask = parse(request.headers, self.config.deadline_s)
            deadline_s = began_s + ask.deadline_s
            async with asyncio.timeout_at(deadline_s):
                data = await self._body(request)
                bundle = unpack(data)
                result = await self.workshop.make(ask, bundle, data, deadline_s)
        except BadAsk as error:
            return self._bad(error.status, str(error))
        except BundleError as error:
            result = Refused(error)
        except (QueueFull, Draining):
            return self._busy("the queue is full" if not self.draining else "going down")
        except (DeadlinePassed, TimeoutError):
            self.counters.add(Event.LATE)
            return _error(504, "the deadline passed before the picture was drawn")
        response = self._answer(result, bundle)
        _images_log.info("%s", _line(response, result, len(data), (loop.time() - began_s) * 1000))
        return response

    async def _body(self, request: web.Request) -> bytes:
        """The whole body; the limit holds while it is read. Raises BadAsk and BundleTooLarge."""
        limit = self.config.max_bundle_bytes
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise BadAsk("bundles are sent without a Content-Encoding", 415)
        if (request.content_length or 0) > limit:
            raise BundleTooLarge(f"a bundle of {request.content_length} bytes; the limit is {limit}")
        body = bytearray()
        try:
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > limit:
                    raise BundleTooLarge(f"a bundle of over {limit} bytes")
        except (ClientPayloadError, HttpProcessingError) as error:
            raise BadAsk("the request's body is not well-formed HTTP") from error
        return bytes(body)

    def _answer(self, result: Result, bundle: Bundle | None) -> web.Response:
        if isinstance(result, Refused):
            status = 400
            if isinstance(result.error, BundleTooLarge):
                status = 413
            elif isinstance(result.error, UnsupportedBundle):
                status = 422
            return self._bad(status, str(result.error))
        if isinstance(result, Failed):
            self.counters.add(Event.FAILURES)
            return _error(500, "nothing could draw this bundle")
        self.counters.add(Event.SERVED)
        if result.cache_hit:
            self.counters.add(Event.HITS)
        headers = {
            "Sketchwire-Engine": result.engine,
            "Sketchwire-Cache": "hit" if result.cache_hit else "miss",
            "Sketchwire-Queue-Ms": f"{result.queue_ms:.1f}",
            "Sketchwire-Reconstruct-Ms": f"{result.reconstruct_ms:.1f}",
            "X-Content-Type-Options": "nosniff",
        }
        if bundle is not None:
            headers[FIELD] = field_value(provenance_of(bundle, result.engine))
        if result.fallback is not None:
            self.counters.add(Event.FALLBACKS)
            headers["Sketchwire-Fallback"] = result.fallback.value
        return web.Response(body=result.body, content_type=result.media_type, headers=headers)

    def _bad(self, status: int, message: str) -> web.Response:
        self.counters.add(Event.BAD)
        return _error(status, message)

    def _busy(self, message: str) -> web.Response:
        self.counters.add(Event.BUSY)
        return _error(503, message, {"Retry-After": str(RETRY_AFTER_S)})


def create_app(service: Service, drain_s: float) -> web.Application:
    """The aiohttp application. Starting makes the engine; stopping has `drain_s` to finish the work in hand."""
    app = web.Application(middlewares=[_guard(service)])
    app.router.add_post("/v1/reconstruct", service.reconstruct)
    app.router.add_get("/v1/capabilities", service.capabilities)
    app.router.add_get("/healthz", service.health)
    app.router.add_get("/metrics", service.metrics)
    drain_until_s = 0.0

    async def start(app: web.Application) -> None:
        await service.workshop.start()

    async def drain(app: web.Application) -> None:
        nonlocal drain_until_s
        service.draining = True
        drain_until_s = asyncio.get_running_loop().time() + drain_s

    async def close(app: web.Application) -> None:
        left_s = max(0.1, drain_until_s - asyncio.get_running_loop().time())
        service.drained_cleanly = await service.workshop.close(left_s)

    app.on_startup.append(start)
    app.on_shutdown.append(drain)
    app.on_cleanup.append(close)
    return app


def _guard(service: Service) -> Middleware:
    """Turns whatever is raised into JSON with a status, so that a client sees no traceback and no HTML."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await guarded(service, request, handler)

    return guard


async def guarded(
    service: Service, request: Any, handler: Callable[[Any], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What `handler` answers, or JSON with a status for whatever it raises but a lost connection."""
    try:
        return await handler(request)
    except web.HTTPException as error:  # no such path, no such method
        service.counters.add(Event.BAD)
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _error(error.status, error.reason.lower(), headers)
    except ConnectionError:
        raise
    except Exception:
        service.counters.add(Event.FAILURES)
        _log.exception("a request failed")
        return _error(500, "internal error")


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)


def _line(response: web.Response, result: Result, bytes_in: int, total_ms: float) -> str:
    """The canonical log line: no words, no pseudonyms, no digests."""
    size = response.body
    fields: dict[str, object] = {
        "status": response.status,
        "bytes_in": bytes_in,
        "bytes_out": len(size) if isinstance(size, bytes) else 0,
        "total_ms": f"{total_ms:.1f}",
    }
    if isinstance(result, Finished):
        fields["engine"] = result.engine
        fields["cache"] = "hit" if result.cache_hit else "miss"
        fields["queue_ms"] = f"{result.queue_ms:.1f}"
        fields["reconstruct_ms"] = f"{result.reconstruct_ms:.1f}"
        fields["fallback"] = result.fallback.value if result.fallback else "-"
    return " ".join(f"{name}={value}" for name, value in fields.items())
