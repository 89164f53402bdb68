"""The ledger against independent counts, and against the secrets that passed: bytes to 0.5 %, and no word of a secret.

A site is replayed through the pair over http and https, six requests at a time, as chained proxies and over the link.
A forwarder between the proxies counts what crosses, the origin counts the bodies it sends. SKETCHWIRE_SITES names a
folder of a real site's files to replay; without it the site is a small one made here.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import mimetypes
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from PIL import Image

from proxy.ledger import read
from proxy.link.pairing import pair_here
from tests.e2e.certificates import make_authority, make_leaf
from tests.e2e.conftest import CACHED, HOST, Link, Loop, start_proxy
from tests.e2e.origin import animated_gif, photo
from tests.e2e.runtime import FakeRuntime

SECRETS = {where: f"s3cr3t-{where}-0451" for where in ("path", "query", "cookie", "set-cookie", "form", "page", "user")}
PARALLEL = 6


def small_site() -> dict[str, tuple[str, bytes]]:
    """Pages, styles and images; path to type and body."""
    site: dict[str, tuple[str, bytes]] = {}
    for number in range(4):
        image = Image.open(io.BytesIO(photo())).rotate(number * 3).resize((400 - number * 30, 300))
        out = io.BytesIO()
        image.save(out, "JPEG", quality=85)
        site[f"img{number}.jpg"] = ("image/jpeg", out.getvalue())
        text = " ".join(f"word{word * number}" for word in range(400))
        page = (
            f"<html><title>Page {number}</title><img src=img{number}.jpg alt='{SECRETS['page']} cup'><p>{text}</html>"
        )
        site[f"page{number}.html"] = ("text/html", page.encode())
    site["moving.gif"] = ("image/gif", animated_gif())
    site["style.css"] = ("text/css", b"body { color: black }\n" * 300)
    site["tiny.js"] = ("text/javascript", b"1;")
    return site


def site_to_replay() -> dict[str, tuple[str, bytes]]:
    """The folder's files, or the small site."""
    folder = os.environ.get("SKETCHWIRE_SITES")
    if not folder:
        return small_site()
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (mimetypes.guess_type(path.name)[0] or "text/plain", path.read_bytes())
        for path in files
    }


class CountingOrigin:
    """Serves a site and counts the bodies it sends."""

    def __init__(self, site: dict[str, tuple[str, bytes]]) -> None:
        self.site = site
        self.body_bytes = 0
        self.seen: list[str] = []

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.Response:
        form = (await request.read()).decode() if request.method == "POST" else ""
        self.seen.append(f"{request.path_qs} {request.headers.get('Cookie')} {form}")
        if request.path.startswith("/account"):
            body, headers = f"<p>{SECRETS['page']}".encode(), {"Set-Cookie": f"sid={SECRETS['set-cookie']}"}
            media_type, status = "text/html", 200
        elif (found := self.site.get(request.match_info["path"])) is not None:
            (media_type, body), status, headers = found, 200, {"Cache-Control": "max-age=600"}
        else:
            media_type, body, status, headers = "text/html", b"not here", 404, {}
        self.body_bytes += len(body)
        return web.Response(body=body, status=status, content_type=media_type, headers=headers)


@dataclass
class Replayed:
    """What was counted, and where the proxies wrote."""

    folder: Path
    ledger: Path
    link_bytes: int
    origin_bytes: int
    requests: int
    origin: CountingOrigin


async def _browse(proxy: str, ca: Path, bases: list[str], site: dict[str, tuple[str, bytes]]) -> int:
    """Fetch everything over every base, some of it with secrets; how many answers came."""
    trust, room = ssl.create_default_context(cafile=str(ca)), asyncio.Semaphore(PARALLEL)
    connector = aiohttp.TCPConnector(limit=PARALLEL)
    cookies = {"Cookie": f"session={SECRETS['cookie']}"}
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:

        async def ask(url: str, accept: str, method: str = "GET", data: object = None, referer: str = "") -> int:
            headers = {"Accept": accept} | cookies | ({"Referer": referer} if referer else {})
            async with room, session.request(
                method, url, proxy=proxy, ssl=trust, headers=headers, data=data, allow_redirects=False
            ) as answer:  # fmt: skip
                await answer.read()
                assert answer.status in (200, 404), (url, answer.status)
                return 1

        count = 0
        for base in bases:
            pages = [path for path, (media_type, _) in site.items() if media_type == "text/html"]
            count += sum(await asyncio.gather(*(ask(f"{base}/{path}", "text/html,*/*;q=0.8") for path in pages)))
            rest = [path for path in site if path not in pages]
            accept = "image/avif,image/webp,image/*,*/*;q=0.8"
            count += sum(await asyncio.gather(*(ask(f"{base}/{path}", accept) for path in rest)))
            private = f"{base}/account/{SECRETS['path']}?token={SECRETS['query']}&user={SECRETS['user']}"
            count += await ask(private, "text/html")
            count += await ask(private, "text/html", "POST", {"password": SECRETS["form"]})
            picture = f"{base}/{rest[0]}?key={SECRETS['query']}"
            count += await ask(picture, accept, referer=private)
            count += await ask(f"{base}/missing/{SECRETS['path']}.jpg", accept)
        return count


@pytest.fixture(scope="module", params=["chain", "h2"])
def replayed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    folder, joint = tmp_path_factory.mktemp("truth"), request.param
    if joint == "h2":
        pair_here(folder / "upstream" / "link", folder / "downstream" / "link")
    with contextlib.ExitStack() as stack:
        loop, origin, runtime, link = Loop(), CountingOrigin(site_to_replay()), FakeRuntime(), Link()
        stack.callback(loop.close)
        authority = make_authority(folder / "origin-ca.pem")
        ports = [loop.serve(origin.app()), loop.serve(origin.app(), make_leaf(authority, HOST, folder / "origin.pem"))]
        upstream = start_proxy(
            "upstream",
            folder,
            {
                "hosts": [f"{HOST}=127.0.0.1"],
                "allow_private_targets": [f"{HOST}:{port}" for port in ports],
                "origin_ca": str(folder / "origin-ca.pem"),
                "encode_deadline_s": 5.0 if os.environ.get("SKETCHWIRE_SITES") else 60.0,
                "link": joint,
                "link_port": 0,
            },
            tables=CACHED,
        )
        stack.callback(upstream.popen.kill)
        link.target_port = upstream.port if joint == "chain" else int(upstream.ready["link_port"])
        loop.run(link.start())
        settings = {
            "upstream": f"http://127.0.0.1:{link.port}",
            "link": joint,
            "link_upstream": f"127.0.0.1:{link.port}",
            "upstream_ca": str(upstream.ca),
            "runtime": f"http://127.0.0.1:{loop.serve(runtime.app())}",
        }
        downstream = start_proxy("downstream", folder, settings, tables=CACHED)
        stack.callback(downstream.popen.kill)
        bases = [f"http://{HOST}:{ports[0]}", f"https://{HOST}:{ports[1]}"]
        requests = asyncio.run(_browse(downstream.url, downstream.ca, bases, origin.site))
        assert downstream.stop() == 0 and upstream.stop() == 0
        loop.run(link.cut())
        ledger = folder / "downstream" / "ledger.sqlite"
        yield Replayed(folder, ledger, link.total_bytes, origin.body_bytes, requests, origin)


def test_link_bytes_are_those_of_the_wire(replayed: Replayed) -> None:
    totals = read.summary(replayed.ledger, role="downstream").totals
    print(f"link: {totals.link_bytes + totals.refetch_bytes} in the ledger, {replayed.link_bytes} counted")
    print(f"origin: {totals.origin_bytes} in the ledger, {replayed.origin_bytes} sent; {totals}")
    assert totals.responses == replayed.requests
    assert totals.link_bytes + totals.refetch_bytes == pytest.approx(replayed.link_bytes, rel=0.005)


def test_origin_bytes_are_those_that_the_origin_sent(replayed: Replayed) -> None:
    found = read.summary(replayed.ledger, role="downstream")
    assert found.totals.origin_bytes == replayed.origin_bytes
    assert found.totals.saved_bytes == replayed.origin_bytes - found.totals.link_bytes - found.totals.refetch_bytes
    if not os.environ.get("SKETCHWIRE_SITES"):  # a busy machine may find no time to encode a real site
        assert {group.key[0] for group in found.by_decision} & {"reconstructed", "recoded"}
    upstream = read.summary(replayed.folder / "upstream" / "ledger.sqlite", role="upstream").totals
    assert (upstream.responses, upstream.origin_bytes) == (replayed.requests, replayed.origin_bytes)


def test_no_secret_is_in_any_file(replayed: Replayed) -> None:
    seen = "\n".join(replayed.origin.seen)
    assert all(SECRETS[where] in seen for where in ("path", "query", "cookie", "form", "user"))  # they did pass
    files = [path for path in replayed.folder.rglob("*") if path.is_file()]
    assert {"ledger.sqlite", "upstream.log", "downstream.log"} <= {path.name for path in files}
    assert sum(path.suffix == ".body" for path in files) > 5  # the HTTP caches did keep answers
    for path in files:
        content = path.read_bytes()
        found = [where for where, secret in SECRETS.items() if secret.encode() in content]
        assert not found, f"{path.name} holds the secrets in {found}"
        assert HOST.encode() not in content or path.suffix in (".toml", ".pem"), f"{path.name} names the site"
