"""How long small pages and style sheets take through the upstream proxy, while images are encoded and while none are.

In: a folder of photographs. Out: median and 95th percentile of the small requests in both states, taken in turns, and
how many images were encoded meanwhile. Refuses: folders without photographs (`ValueError`).

`python -m evaluation.other_flows --data ../shared/eval/web`; `--workers` says how many processes encode, and one image
more than that is always under way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

HOST = "flows.demo.test"
ASKING = "v=1;engine=sketch@01234567;nonce=0123456789abcdef;client=0123456789ab;formats=avif,webp"
START_S = 120.0
SMALL_BYTES = 4_000
PAUSE_S = 0.02


@dataclass(slots=True)
class Taken:
    """Milliseconds of each small request, and what images became: Content-Type → number."""

    quiet_ms: list[float] = field(default_factory=list)
    busy_ms: list[float] = field(default_factory=list)
    images: dict[str, int] = field(default_factory=dict)


def p95(values: Sequence[float]) -> float:
    """The 95th percentile, of at least one value."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def report(taken: Taken) -> list[str]:
    """The lines to print."""
    lines = [
        f"{name:22} {len(ms)} small requests: median {statistics.median(ms):.1f} ms, p95 {p95(ms):.1f} ms"
        for name, ms in (("nothing encoded", taken.quiet_ms), ("while images encode", taken.busy_ms))
    ]
    became = ", ".join(f"{media_type} {count}" for media_type, count in sorted(taken.images.items()))
    return [*lines, f"p95 {p95(taken.busy_ms) / p95(taken.quiet_ms):.2f} times; images: {became or 'none'}"]


async def measure(images: Sequence[bytes], rounds: int, requests: int, workers: int, folder: Path) -> Taken:
    """Start an origin and the upstream proxy, and ask for `requests` small files in each of `rounds` quiet and busy
    turns.
    """
    origin = web.Application()
    origin.router.add_get("/image/{number}", lambda request: _image(request, images))
    for name, media_type in (("page.html", "text/html"), ("style.css", "text/css")):
        origin.router.add_get(f"/{name}", _small(media_type))
    runner = web.AppRunner(origin)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = int(runner.addresses[0][1])
    process, proxy = await asyncio.to_thread(_start, folder, port, workers)
    taken = Taken()
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            base = f"http://{HOST}:{port}"
            await _ask(session, proxy, f"{base}/page.html")  # the first one connects
            await _encode(session, proxy, f"{base}/image/0?warm", taken)
            taken.images.clear()
            for turn in range(rounds):
                taken.quiet_ms += await _small_ones(session, proxy, base, requests)
                stop = asyncio.Event()
                loads = [
                    asyncio.create_task(_keep_encoding(session, proxy, base, stop, taken, f"{turn}-{number}"))
                    for number in range(workers + 1)
                ]
                taken.busy_ms += await _small_ones(session, proxy, base, requests)
                stop.set()
                await asyncio.gather(*loads)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)
        await runner.cleanup()
    return taken


async def _image(request: web.Request, images: Sequence[bytes]) -> web.Response:
    body = images[int(request.match_info["number"]) % len(images)]
    mark = request.query_string.encode()  # after the picture: other bytes, so that no cache knows it
    return web.Response(body=body + mark, content_type="image/jpeg")


def _small(media_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(text="x" * SMALL_BYTES, content_type=media_type, headers={"Cache-Control": "no-store"})

    return serve


async def _small_ones(session: aiohttp.ClientSession, proxy: str, base: str, count: int) -> list[float]:
    taken_ms = []
    for number in range(count):
        start_s = time.perf_counter()
        await _ask(session, proxy, f"{base}/{('page.html', 'style.css')[number % 2]}")
        taken_ms.append((time.perf_counter() - start_s) * 1000)
        await asyncio.sleep(PAUSE_S)
    return taken_ms


async def _ask(session: aiohttp.ClientSession, proxy: str, url: str) -> None:
    async with session.get(url, proxy=proxy) as answer:
        await answer.read()
        answer.raise_for_status()


async def _encode(session: aiohttp.ClientSession, proxy: str, url: str, taken: Taken) -> None:
    headers = {"Accept": "image/avif,image/webp,image/*,*/*;q=0.8", "Sketchwire-Accept": ASKING}
    async with session.get(url, proxy=proxy, headers=headers) as answer:
        await answer.read()
        taken.images[answer.content_type] = taken.images.get(answer.content_type, 0) + 1


async def _keep_encoding(
    session: aiohttp.ClientSession, proxy: str, base: str, stop: asyncio.Event, taken: Taken, mark: str
) -> None:
    number = 0
    while not stop.is_set():
        await _encode(session, proxy, f"{base}/image/{number}?{mark}-{number}", taken)
        number += 1


def _start(folder: Path, origin_port: int, workers: int) -> tuple[subprocess.Popen[bytes], str]:
    """(the upstream proxy's process, its URL). Raises TimeoutError with its last words when it does not start."""
    settings = {
        "listen_port": 0,
        "state_dir": str(folder / "state"),
        "hosts": [f"{HOST}=127.0.0.1"],
        "allow_private_targets": [f"{HOST}:{origin_port}"],
        "encode_workers": workers,
        "encode_deadline_s": 30.0,
    }
    config, ready, log = folder / "upstream.toml", folder / "ready.json", folder / "log.txt"
    config.write_text("[upstream]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    command = [sys.executable, "-m", "proxy", "upstream", "--config", str(config), "--ready-file", str(ready)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    until_s = time.monotonic() + START_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > until_s:
            process.kill()
            raise TimeoutError(log.read_text()[-2000:])
        time.sleep(0.05)
    return process, f"http://127.0.0.1:{json.loads(ready.read_text())['port']}"


def photographs(folder: Path, limit: int) -> list[bytes]:
    """JPEG files of 30 to 800 kB in a folder. Raises ValueError where there are none."""
    files = [path.read_bytes() for path in sorted(folder.rglob("*.jpg")) if 30_000 < path.stat().st_size < 800_000]
    if not files:
        raise ValueError(f"{folder}: no JPEG files of 30 to 800 kB")
    return files[:limit]


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--rounds", type=int, default=3, help="quiet and busy turns")
    parser.add_argument("--requests", type=int, default=100, help="small requests in a turn")
    parser.add_argument("--workers", type=int, default=1, help="encoding processes")
    options = parser.parse_args()
    try:
        images = photographs(options.data, 24)
    except ValueError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as folder:
        taken = asyncio.run(measure(images, options.rounds, options.requests, options.workers, Path(folder)))
    print("\n".join(report(taken)))


if __name__ == "__main__":
    main()
