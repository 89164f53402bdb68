"""The link without proxies, encoder and runtime: how full a thin link is while a page's pictures cross it.

In: sizes of pictures, the link's shapes. Out: a table: seconds, and the share of them in which the link carried bytes.
Refuses: an answer that is not whole (`asyncio.IncompleteReadError`).

    python -m evaluation.linkbench.alone --sizes 12000,6000,3000 --profiles 256:300

Both ends of the link, the thin link between them, a site and a loader share this process, so it measures order and
waiting, not processors. The loader asks for a page of 3 kB, then for twenty pictures, six or all at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from evaluation.linkbench.shaper import Direction, Shaper
from proxy.link.far import FarEnd, FarSettings
from proxy.link.near import NearEnd
from proxy.link.pairing import pair_here

PAGE_BYTES, PICTURES = 3_000, 20


@dataclass(frozen=True, slots=True)
class Filled:
    """A load: how long, how long the link carried bytes down, how many, and the longest wait after the first byte."""

    load_s: float
    busy_s: float
    down_bytes: int
    longest_gap_s: float


async def site(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size_bytes: int) -> None:
    """An upstream proxy that has everything."""
    try:
        while line := await reader.readline():
            while await reader.readline() not in (b"\r\n", b""):
                pass
            page = b"/page" in line
            body = os.urandom(PAGE_BYTES if page else size_bytes)
            kind = b"text/html" if page else b"image/webp"
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)) + body
            )
            await writer.drain()
    except (ConnectionError, asyncio.CancelledError):  # the bench is over
        pass
    finally:
        writer.close()


async def get(port: int, path: str, size_bytes: int) -> None:
    """One request to the near end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET http://alone.test{path} HTTP/1.1\r\nHost: alone.test\r\nAccept: image/*\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(size_bytes)
    finally:
        writer.close()


async def load(folder: Path, size_bytes: int, kbit_s: float, rtt_ms: float, at_once: int) -> Filled:
    """Load a page over a link that is connected."""
    server = await asyncio.start_server(lambda r, w: site(r, w, size_bytes), "127.0.0.1", 0)
    pair_here(folder / "far", folder / "near")
    far = FarEnd(FarSettings(folder / "far", "127.0.0.1", 0))
    await far.start("127.0.0.1", server.sockets[0].getsockname()[1])
    up, down = (Direction(rtt_ms / 2000, kbit_s * 125) for _ in range(2))
    shaper = Shaper("127.0.0.1", far.port, up, down)
    between = await asyncio.get_running_loop().create_server(shaper.accept, "127.0.0.1", 0)
    near = NearEnd(folder / "near", "127.0.0.1", between.sockets[0].getsockname()[1], 0, ports=1)
    await near.start()
    try:
        await get(near.ports[0], "/page", PAGE_BYTES)
        await asyncio.sleep(rtt_ms / 1000)
        down.busy.clear()
        before, began_s, gate = down.passed_bytes, time.monotonic(), asyncio.Semaphore(at_once)

        async def picture(n: int) -> None:
            async with gate:
                await get(near.ports[0], f"/{n}.webp", size_bytes)

        await get(near.ports[0], "/page", PAGE_BYTES)
        await asyncio.gather(*(picture(n) for n in range(PICTURES)))
        took_s = time.monotonic() - began_s
        busy_s = sum(ends_s - begins_s for begins_s, ends_s in down.busy)
        gaps = [after[0] - then[1] for then, after in itertools.pairwise(down.busy)]
        return Filled(took_s, busy_s, down.passed_bytes - before, max(gaps, default=0.0))
    finally:
        await near.stop()
        await far.stop()
        between.close()
        server.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", default="12000,6000,3000", help="bytes of a picture")
    parser.add_argument("--profiles", default="64:600,256:300,2000:80", help="KBIT_S:RTT_MS, …")
    options = parser.parse_args()
    print("| link | bytes of a picture | at a time | load s | link busy | longest wait s | bytes down |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for profile, size, at_once in itertools.product(options.profiles.split(","), options.sizes.split(","), (6, 20)):
        kbit_s, rtt_ms = map(float, profile.split(":"))
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(load(Path(folder), int(size), kbit_s, rtt_ms, at_once))
        share = f"{found.busy_s / found.load_s:.0%} | {found.longest_gap_s:.2f} | {found.down_bytes:,}"
        link = f"{kbit_s:g} kbit/s, {rtt_ms:g} ms"
        print(f"| {link} | {int(size):,} | {at_once} | {found.load_s:.2f} | {share} |", flush=True)


if __name__ == "__main__":
    main()
