"""The admin port of a proxy: a small HTTP server in the proxy's own event loop.

In: requests to `/metrics`, `/healthz` and whatever routes the caller adds. Out: answers, only to who may ask. Refuses:
on other addresses than loopback everybody without the token (401), as `Authorization: Bearer` or as the password of
`Basic`; on loopback, requests for another host name, for a web page could have its own name point here (403).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import ipaddress
import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

CHALLENGE = {"WWW-Authenticate": 'Basic realm="sketchwire", charset="UTF-8", Bearer realm="sketchwire"'}
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
TOKEN_BYTES = 24


class AdminError(RuntimeError):
    """The admin port cannot be opened; the message says why, and what to change."""


@dataclass(frozen=True, slots=True)
class Metered:
    """What `/metrics` answers."""

    content_type: str
    text: Callable[[], bytes]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


def load_token(path: Path) -> str:
    """The token in `path`, made at need, 0600. Raises AdminError."""
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                with open(os.open(path, flags, 0o600), "w", encoding="ascii") as file:
                    file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
        if path.stat().st_mode & 0o077:
            raise AdminError(f"{path} can be read by others; run: chmod 600 {path}")
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AdminError(f"the admin token in {path} cannot be used: {error}") from error
    if len(token) < 16:
        raise AdminError(f"the admin token in {path} is too short: it needs at least 16 characters")
    return token


class AdminServer:
    """Serves on `host`:`port`; `token` is asked for unless it is empty. `routes` are added to our own."""

    def __init__(
        self, host: str, port: int, metered: Metered, token: str = "", routes: Iterable[web.AbstractRouteDef] = ()
    ) -> None:
        if not token and not is_loopback(host):
            raise AdminError(f"the admin port on {host} needs a token")
        self.port = port
        self._host = host
        self._token = token
        self._metered = metered
        self._app = web.Application(middlewares=[self._guard])
        self._app.add_routes([web.get("/metrics", self._metrics), web.get("/healthz", self._health), *routes])
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises AdminError."""
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port).start()
        except OSError as error:
            await self.stop()
            raise AdminError(f"the admin port {self.port} of {self._host} cannot be used: {error.strerror}") from error
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and its connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metered.text(), headers={"Content-Type": self._metered.content_type})

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._token and not is_loopback(request.url.host or ""):
            return web.Response(status=403, text="This address is not served here.\n", headers=HEADERS)
        if self._token and not hmac.compare_digest(_shown(request).encode(), self._token.encode()):
            return web.Response(status=401, text="A token is needed.\n", headers=HEADERS | CHALLENGE)
        try:
            answer = await handler(request)
        except web.HTTPException as error:
            return web.Response(status=error.status, text=f"{error.reason}\n", headers=HEADERS)
        if not answer.prepared:
            answer.headers.update(HEADERS)
        return answer


def _shown(request: web.Request) -> str:
    """The token a request shows."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
    return ""
