"""Replays a folder of sites through the pair and holds the ledger against independent counts.

    python -m evaluation.replay --site ../shared/sites --out out/replay.json

In: a folder. Out: a line per figure, JSON on request, exit status 0 when they agree. Refuses: to agree when a body that
is not an image came changed, when link bytes differ by more than 0.5 %, or origin bytes at all.

Every file is fetched over http and https, six at a time, pages first, from an origin on this machine that counts the
bodies it sends. Between the proxies a forwarder of its own counts what crosses. `--joint` says how the proxies are
joined: as chained proxies, or by Sketchwire's link. Without `--runtime` pictures are drawn without a model, which
changes nothing on the link's side.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import mimetypes
import signal
import socket
import ssl
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from evaluation.linkbench.stand import shaper, start
from proxy.demo.certificates import make_certificates
from proxy.ledger import read
from proxy.link.pairing import pair_here

HOST = "replay.demo.test"
PARALLEL = 6
LINK_TOLERANCE = 0.005
TIMEOUT_S = 180.0
PAGE, IMAGE = "text/html,*/*;q=0.8", "image/avif,image/webp,image/*,*/*;q=0.8"


@dataclass
class Site:
    """The files, and what the origin sent of them."""

    files: dict[str, tuple[str, bytes]]
    body_bytes: int = 0
    requests: int = 0

    def app(self) -> web.Application:
        """Serves the files."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        found = self.files.get(request.match_info["path"])
        media_type, body = found or ("text/plain", b"There is no such page.\n")
        self.body_bytes += len(body)
        fields = {"Content-Type": media_type, "Cache-Control": "public, max-age=600"}
        return web.Response(status=200 if found else 404, body=body, headers=fields)


@dataclass
class Browsed:
    """What a browser's side saw."""

    requests: int = 0
    delivered_bytes: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Compared:
    """The ledger's figures beside the independent ones, in bytes; `wrong` are answers that should not have come."""

    requests: int
    ledger_responses: int
    origin_counted: int
    origin_in_ledger: int
    origin_in_upstreams_ledger: int
    link_counted: int
    link_in_ledger: int
    refetched: int
    saved_percent: float
    decisions: dict[str, int]
    wrong: list[str]

    @property
    def link_error(self) -> float:
        """The ledger's link bytes, relative to those counted."""
        return self.link_in_ledger / self.link_counted - 1

    @property
    def agrees(self) -> bool:
        """Whether everything holds."""
        origins = {self.origin_counted, self.origin_in_ledger, self.origin_in_upstreams_ledger}
        return (
            not self.wrong
            and self.ledger_responses == self.requests
            and len(origins) == 1
            and abs(self.link_error) <= LINK_TOLERANCE
        )


def files_of(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Path to media type and body. Raises ValueError for a folder without files."""
    found = {
        path.relative_to(folder).as_posix(): (mimetypes.guess_type(path.name)[0] or "text/plain", path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    if not found:
        raise ValueError(f"{folder} has no files")
    return found


@contextlib.asynccontextmanager
async def _served(site: Site, state: Path) -> Any:
    certificates = make_certificates(state, HOST)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.leaf, certificates.leaf_key)
    runner = web.AppRunner(site.app(), access_log=None)
    await runner.setup()
    try:
        for tls in (None, context):
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield [int(address[1]) for address in runner.addresses], certificates.ca
    finally:
        await runner.cleanup()


async def _browse(proxy: str, ca: Path, bases: list[str], site: Site) -> Browsed:
    trust, room, seen = ssl.create_default_context(cafile=str(ca)), asyncio.Semaphore(PARALLEL), Browsed()
    connector, timeout = aiohttp.TCPConnector(limit=PARALLEL), aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=True) as session:

        async def ask(base: str, path: str) -> None:
            media_type, body = site.files[path]
            headers = {"Accept": PAGE if media_type == "text/html" else IMAGE}
            async with room, session.get(f"{base}/{path}", proxy=proxy, ssl=trust, headers=headers) as answer:
                came = await answer.read()
            seen.requests += 1
            seen.delivered_bytes += len(came)
            if answer.status != 200 or (not media_type.startswith("image/") and came != body):
                seen.wrong.append(f"{answer.status} {len(came)} bytes for {path}")

        for base in bases:
            pages = [path for path, (media_type, _) in site.files.items() if media_type == "text/html"]
            rest = [path for path in site.files if path not in set(pages)]
            for some in (pages, rest):
                await asyncio.gather(*(ask(base, path) for path in some))
    return seen


def _proxy(stack: contextlib.ExitStack, folder: Path, role: str, settings: dict[str, Any]) -> dict[str, Any]:
    settings = {"listen_port": 0, "state_dir": str(folder / role)} | settings
    config = folder / f"{role}.toml"
    lines = [f"[{role}]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ready = f"{role}.json"
    command = [sys.executable, "-m", "proxy", role, "--config", str(config), "--ready-file", str(folder / ready)]
    return start(stack, folder, role, command, ready)


def _wire_bytes(control: int) -> int:
    with socket.create_connection(("127.0.0.1", control), 5) as told:
        told.sendall(b"stats\n")
        stats = json.loads(told.makefile().readline())
    return int(stats["up"]) + int(stats["down"])


async def replay(site: Site, folder: Path, joint: str, runtime: str, encode_deadline_s: float) -> Compared:
    """Fetch everything and compare. Raises evaluation.linkbench.stand.StandFailed, aiohttp.ClientError."""
    async with _served(site, folder / "origin") as (ports, origin_ca):
        with contextlib.ExitStack() as lasting:
            if joint == "link":
                pair_here(folder / "upstream" / "link", folder / "downstream" / "link")
            upstream: dict[str, Any] = {
                "hosts": [f"{HOST}=127.0.0.1"],
                "allow_private_targets": [f"{HOST}:{port}" for port in ports],
                "origin_ca": str(origin_ca),
                "encode_deadline_s": encode_deadline_s,
                "link": "h2" if joint == "link" else "chain",
                "link_port": 0,
            }
            far = await asyncio.to_thread(_proxy, lasting, folder, "upstream", upstream)
            port = far["link_port"] if joint == "link" else far["port"]
            counter = await asyncio.to_thread(shaper, lasting, folder, port, 0.0, 0.0)
            address = f"127.0.0.1:{counter['port']}"
            downstream: dict[str, Any] = {"upstream_ca": far["ca"], "runtime": runtime}
            joined = {"link": "h2", "link_upstream": address} if joint == "link" else {"upstream": f"http://{address}"}
            with contextlib.ExitStack() as stopped:  # its last bytes are written down when it ends
                near = await asyncio.to_thread(_proxy, stopped, folder, "downstream", downstream | joined)
                bases = [f"{scheme}://{HOST}:{port}" for scheme, port in zip(("http", "https"), ports, strict=True)]
                seen = await _browse(f"http://127.0.0.1:{near['port']}", Path(near["ca"]), bases, site)
                await asyncio.to_thread(stopped.close)
            crossed = await asyncio.to_thread(_wire_bytes, counter["control"])
            await asyncio.to_thread(lasting.close)
    found = read.summary(folder / "downstream" / "ledger.sqlite", role="downstream")
    theirs = read.summary(folder / "upstream" / "ledger.sqlite", role="upstream")
    decisions = {
        " ".join(key for key in group.key if key): group.totals.responses
        for group in found.by_decision
        if group.totals.responses
    }
    return Compared(
        requests=seen.requests,
        ledger_responses=found.totals.responses,
        origin_counted=site.body_bytes,
        origin_in_ledger=found.totals.origin_bytes,
        origin_in_upstreams_ledger=theirs.totals.origin_bytes,
        link_counted=crossed,
        link_in_ledger=found.totals.link_bytes + found.totals.refetch_bytes,
        refetched=found.totals.refetch_bytes,
        saved_percent=found.totals.saved_percent or 0.0,
        decisions=decisions,
        wrong=seen.wrong,
    )


def main() -> None:
    """Replay, print, and say by the exit status whether the figures agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", type=Path, required=True)
    parser.add_argument("--joint", choices=("chain", "link"), default="chain")
    parser.add_argument("--runtime", default="", help="URL of a runtime that draws; default: none")
    parser.add_argument("--encode-deadline-s", type=float, default=5.0)
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the proxies end, too
    with tempfile.TemporaryDirectory() as name:
        site = Site(files_of(wanted.site.resolve()))
        found = asyncio.run(
            replay(site, Path(name), wanted.joint, wanted.runtime.rstrip("/"), wanted.encode_deadline_s)
        )
    told = asdict(found) | {"link_error": found.link_error, "agrees": found.agrees}
    for key, value in told.items():
        print(f"{key:<28}{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{key:<28}{value}")
    if wanted.out:
        wanted.out.parent.mkdir(parents=True, exist_ok=True)
        wanted.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(0 if found.agrees else 1)


if __name__ == "__main__":
    main()
