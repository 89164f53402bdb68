"""Compares the link with a chain of proxies: a first request to a new https host, a page of many hosts.

In: round-trip time, rounds. Out: a table of medians on standard output, and JSON. Refuses: answers with a wrong byte.

    python -m evaluation.linkbench.pageload --rtt-ms 300 --rounds 5 --json figures.json

The loader asks as a browser does: HTTP/2 to each host through the proxy, all of a page's resources at once, the fields
of Chromium. Each round of the page uses new connections, so that a host is as new as when a page is first visited.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import ssl
import statistics
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from evaluation.linkbench import site
from evaluation.linkbench.stand import HOSTS, Stand, end_on_sigterm, stand

BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
    "Sec-Ch-Ua": '"Chromium";v="142", "Not_A Brand";v="99"',
    "Sec-Ch-Ua-Mobile": "?0",
    "Sec-Ch-Ua-Platform": '"Linux"',
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "no-cors",
    "Sec-Fetch-Dest": "style",
    "Referer": "https://h0.link.test/",
}
WARM_TRIES = 90
SIZES = (500, 900, 1_500, 2_500, 4_000, 1_200, 700, 3_000, 6_000, 2_000)


@dataclass(frozen=True, slots=True)
class First:
    """A first request to a new https host, over proxies and a link that are warm; `wire_bytes` each way, the answer's
    500 bytes of text included.
    """

    wire_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Page:
    """One load of a page."""

    load_s: float
    p50_s: float
    p95_s: float
    wire_bytes: int
    cpu_s: float


class FirstHttp2(ssl.SSLContext):
    """Prefers HTTP/2 as browsers do; httpx names it last."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Sorted, which puts h2 first."""
        super().set_alpn_protocols(sorted(alpn_protocols, reverse=False))


def client(at: Stand) -> httpx.AsyncClient:
    """A browser with nothing open."""
    trust = FirstHttp2(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(at.ca)
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(http2=True, timeout=120, proxy=at.proxy, verify=trust, headers=BROWSER, limits=limits)


async def warm_up(at: Stand) -> None:
    """Ask until the proxies and the link between them answer."""
    async with client(at) as browser:
        for _ in range(WARM_TRIES):
            with contextlib.suppress(httpx.HTTPError):
                if (await browser.get(at.url(HOSTS - 1, "/t/500/warm"), timeout=20)).status_code == 200:
                    return
            await asyncio.sleep(1.0)


async def first_request(at: Stand, host: int) -> First:
    """Ask a host that was never asked before for 500 bytes."""
    async with client(at) as browser:
        before, began_s = at.wire(), time.monotonic()
        answer = await browser.get(at.url(host, "/t/500/first"))
        took_s = time.monotonic() - began_s
        check(answer, host, "t", 500, "first", at)
        await asyncio.sleep(1.0)  # tickets and acknowledgements belong to it
        return First(at.wire().total_bytes - before.total_bytes, took_s)


async def page(at: Stand, hosts: int, requests: int, number: int) -> Page:
    """Load a page of `requests` resources at `hosts` hosts."""
    took: list[float] = []

    async def get(browser: httpx.AsyncClient, n: int) -> None:
        host, size = n % hosts, SIZES[n % len(SIZES)]
        began_s = time.monotonic()
        answer = await browser.get(at.url(host, f"/r/{size}/{number}-{n}"))
        took.append(time.monotonic() - began_s)
        check(answer, host, "r", size, f"{number}-{n}", at)

    async with client(at) as browser:
        before, cpu_s, began_s = at.wire(), at.cpu_s(), time.monotonic()
        await asyncio.gather(*(get(browser, n) for n in range(requests)))
        load_s, cpu_s = time.monotonic() - began_s, at.cpu_s() - cpu_s
        crossed = at.wire().total_bytes - before.total_bytes
    took.sort()
    return Page(load_s, statistics.median(took), took[int(0.95 * len(took))], crossed, cpu_s)


def check(answer: httpx.Response, host: int, kind: str, size_bytes: int, seed: str, at: Stand) -> None:
    """Compare a body with what the site makes."""
    seed = f"h{host}.{site.DOMAIN}:{at.https_port}{seed}"
    wanted = (site.noise if kind == "r" else site.words)(size_bytes, seed)
    same = hashlib.sha256(answer.content).digest() == hashlib.sha256(wanted).digest()
    if answer.status_code != 200 or not same:
        raise AssertionError(f"{answer.url}: status {answer.status_code}, {len(answer.content)} bytes")


async def measure(at: Stand, rounds: int, hosts: int, requests: int) -> dict[str, object]:
    """All of it for one stand."""
    await warm_up(at)
    firsts = [await first_request(at, HOSTS - 2 - n) for n in range(3)]
    pages = [await page(at, hosts, requests, n) for n in range(rounds)]
    middle = {key: statistics.median(asdict(each)[key] for each in pages) for key in asdict(pages[0])}
    first = {key: statistics.median(asdict(each)[key] for each in firsts) for key in asdict(firsts[0])}
    return {"first": first, "page": middle}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rtt-ms", type=float, default=300.0)
    parser.add_argument("--kbit-s", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--joints", default="chain,link")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    end_on_sigterm()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        for joint in options.joints.split(","):
            with stand(Path(folder) / joint, joint, options.rtt_ms / 2, options.kbit_s) as at:
                figures[joint] = asyncio.run(measure(at, options.rounds, options.hosts, options.requests))
            print(joint, json.dumps(figures[joint]))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
