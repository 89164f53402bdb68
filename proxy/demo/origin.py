"""The demonstration's origin: a web server as one would find it.

In: a `DemoSite` and a host name. Out: http and https on free ports of this machine, with validators, freshness, byte
ranges and plain 404s. Refuses: paths that are not of the site.
"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

from aiohttp import web

from proxy.demo.certificates import Certificates
from proxy.demo.site import DemoSite

LISTEN = "127.0.0.1"
HOST = "news.demo.test"  # .test is reserved (RFC 6761); browsers treat localhost as secure and bypass proxies for it
_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the origin listens."""

    host: str
    http_port: int
    https_port: int
    ca: Path
    leaf: Path

    def url(self, path: str, scheme: str = "https") -> str:
        """The URL of a path under the origin's name."""
        return f"{scheme}://{self.host}:{self.https_port if scheme == 'https' else self.http_port}{path}"

    @property
    def address(self) -> str:
        """What the name resolves to, for whoever connects."""
        return LISTEN


@dataclass(frozen=True, slots=True)
class _Resource:
    body: bytes
    content_type: str
    cache_control: str
    etag: str
    modified: datetime


@contextlib.asynccontextmanager
async def serve(site: DemoSite, certificates: Certificates, host: str = HOST) -> AsyncIterator[Origin]:
    """Serve `site` from memory until the context ends."""
    resources = _resources(site)
    app = web.Application()

    async def answer(request: web.Request) -> web.StreamResponse:
        path = "/index.html" if request.path == "/" else request.path
        resource = resources.get(path)
        if resource is None:
            return web.Response(status=404, text="There is no such page.\n")
        return _answer(request, resource)

    app.router.add_get("/{path:.*}", answer)  # answers HEAD too
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates.leaf, certificates.leaf_key)
        ports = []
        for tls in (None, context):
            socket_site = web.TCPSite(runner, LISTEN, 0, ssl_context=tls)
            await socket_site.start()
            ports.append(runner.addresses[-1][1])
        yield Origin(host, ports[0], ports[1], certificates.ca, certificates.leaf)
    finally:
        await runner.cleanup()


def _resources(site: DemoSite) -> dict[str, _Resource]:
    types = {image.path: image.media_type for image in site.images}
    found = {}
    for path in (*(page.path for page in site.pages), "/site.css", *types):
        file = site.file(path)
        body = file.read_bytes()
        found[path] = _Resource(
            body,
            types.get(path) or _TYPES[file.suffix.lstrip(".")],
            "public, max-age=86400" if path in types else "public, max-age=300",
            f'"{hashlib.sha256(body).hexdigest()[:20]}"',
            datetime.fromtimestamp(int(file.stat().st_mtime), UTC),
        )
    return found


def _answer(request: web.Request, resource: _Resource) -> web.Response:
    headers = {
        "Cache-Control": resource.cache_control,
        "ETag": resource.etag,
        "Last-Modified": format_datetime(resource.modified, usegmt=True),
    }
    if _unchanged(request, resource):
        return web.Response(status=304, headers=headers)
    headers |= {"Content-Type": resource.content_type, "Accept-Ranges": "bytes"}
    try:
        part = request.http_range
    except ValueError:
        part = slice(None)  # an unknown unit or syntax: the whole (RFC 9110, 14.2)
    if part.start is None and part.stop is None:
        return web.Response(body=resource.body, headers=headers)
    start, stop, _ = part.indices(len(resource.body))
    if start >= stop:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(resource.body)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(resource.body)}"
    return web.Response(status=206, body=resource.body[start:stop], headers=headers)


def _unchanged(request: web.Request, resource: _Resource) -> bool:
    """Whether the client's validators still hold (RFC 9110, 13.1: If-None-Match before If-Modified-Since)."""
    tags = request.headers.get("If-None-Match")
    if tags is not None:
        return tags.strip() == "*" or any(tag.strip().removeprefix("W/") == resource.etag for tag in tags.split(","))
    try:
        since = parsedate_to_datetime(request.headers.get("If-Modified-Since", ""))
    except ValueError:
        return False
    return since.tzinfo is not None and resource.modified <= since
