"""Page loads over a thin link: directly, by ziproxy, by chained proxies, by the link, by the link without bundles.

In: a folder of pictures, the profiles, the joints. Out: a table of medians and ratios, and JSON. Refuses: a page or a
picture that does not come (`AssertionError`); ziproxy where it is not installed.

    python -m evaluation.linkbench --pictures ../shared/eval/web --profiles 256:300 --joints direct,ziproxy,plain,link

`plain` is the link without bundles. The loader asks as a browser does over HTTP/1.1: the page, then its pictures, six
at a time. Pictures are shrunk to 1024 px and are JPEG at quality 85. Warm means that the page was loaded once over the
same proxies before it is measured, by a browser with nothing stored; cold is that first load, told apart. A lost packet
is not modelled: the shaper carries a byte stream, and has delay, rate and a router's queue only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
from PIL import Image

from evaluation.linkbench import stand as stands
from evaluation.linkbench.site import DOMAIN
from evaluation.linkbench.stand import Stand, StandFailed

LONGEST_PX = 1024
QUALITY = 85
AT_ONCE = 6
WARM_TRIES = 60
FIELDS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36",
    "Accept-Encoding": "gzip, deflate",
    "Accept-Language": "en-US,en;q=0.9",
}


@dataclass(frozen=True, slots=True)
class Load:
    """One load of a page: seconds to its first byte and to its last picture, and what crossed the thin link."""

    ttfb_s: float
    load_s: float
    wire_bytes: int
    picture_bytes: int
    cpu_s: float


@dataclass
class Way:
    """A way to the site: `base` of its addresses, the proxy to use, if any, and the thin link's control port."""

    base: str
    proxy: str | None
    wire: Stand


def make_pages(folder: Path, pictures: Path, pages: int, per_page: int) -> int:
    """Write pages with `per_page` pictures each; returns how many bytes the pictures of one page have on average."""
    files = sorted(path for path in pictures.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    files = files[:: max(1, len(files) // (pages * per_page))][: pages * per_page]
    total = 0
    for n in range(pages):
        place = folder / "pages" / str(n)
        place.mkdir(parents=True, exist_ok=True)
        names: list[str] = []
        for path in files[n * per_page : (n + 1) * per_page]:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
            picture.thumbnail((LONGEST_PX, LONGEST_PX))
            out = io.BytesIO()
            picture.save(out, "JPEG", quality=QUALITY)
            name = f"{len(names)}.jpg"
            (place / name).write_bytes(out.getvalue())
            total += len(out.getvalue())
            size = f'width="{picture.width}" height="{picture.height}"'
            names.append(f'<figure><img src="{name}" {size} alt="Picture {len(names)}"></figure>')
        body = "<!DOCTYPE html><html><head><title>Pictures</title></head><body>\n" + "\n".join(names) + "</body></html>"
        (place / "index.html").write_text(body, encoding="utf-8")
    return total // pages


async def load(way: Way, page: int, per_page: int) -> Load:
    """Load a page with nothing stored and nothing open."""
    before, cpu_s, began_s = way.wire.wire(), way.wire.cpu_s(), time.monotonic()
    picture_bytes = 0
    gate = asyncio.Semaphore(AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=900)
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(headers=FIELDS, timeout=timeout, connector=connector) as session:

        async def picture(n: int) -> int:
            address = f"{way.base}/pages/{page}/{n}.jpg"
            async with gate, session.get(address, proxy=way.proxy, headers={"Accept": "image/*,*/*;q=0.8"}) as answer:
                body = await answer.read()
                assert answer.status == 200 and len(body) > 100, f"{address}: {answer.status}"
                return len(body)

        address = f"{way.base}/pages/{page}/index.html"
        async with session.get(address, proxy=way.proxy, headers={"Accept": "text/html,*/*;q=0.8"}) as answer:
            ttfb_s = time.monotonic() - began_s
            assert answer.status == 200 and b"<figure>" in await answer.read(), f"{address}: {answer.status}"
        picture_bytes = sum(await asyncio.gather(*(picture(n) for n in range(per_page))))
    load_s = time.monotonic() - began_s
    crossed = way.wire.wire().total_bytes - before.total_bytes
    return Load(ttfb_s, load_s, crossed, picture_bytes, way.wire.cpu_s() - cpu_s)


@contextlib.contextmanager
def way_to(folder: Path, joint: str, delay_ms: float, kbit_s: float) -> Iterator[Way]:
    """Start what a joint needs, stop it at the end."""
    with contextlib.ExitStack() as stack:
        if joint in ("direct", "ziproxy"):
            yield _plain_way(stack, folder, joint, delay_ms, kbit_s)
            return
        runtime = "" if joint == "plain" else _runtime(stack, folder)
        kind = "chain" if joint == "chain" else "link"
        at = stack.enter_context(stands.stand(folder, kind, delay_ms, kbit_s, runtime, encode_deadline_s=60.0))
        yield Way(f"http://h0.{DOMAIN}:{at.http_port}", at.proxy, at)


def _plain_way(stack: contextlib.ExitStack, folder: Path, joint: str, delay_ms: float, kbit_s: float) -> Way:
    command = [sys.executable, "-m", "evaluation.linkbench.site", str(folder)]
    site = stands.start(stack, folder, "site", command, "site.json")
    port = int(site["http"])
    if joint == "ziproxy":
        port = _ziproxy(stack, folder)
    shaped = stands.shaper(stack, folder, port, delay_ms, kbit_s)
    at = Stand("", folder / "ca.pem", site["http"], site["https"], shaped["control"], [])
    if joint == "ziproxy":
        return Way(f"http://127.0.0.1:{site['http']}", f"http://127.0.0.1:{shaped['port']}", at)
    return Way(f"http://127.0.0.1:{shaped['port']}", None, at)


def _ziproxy(stack: contextlib.ExitStack, folder: Path) -> int:
    binary = shutil.which("ziproxy")
    if binary is None:
        raise StandFailed("ziproxy is not installed")
    port = stands.free_port()
    config = folder / "ziproxy.conf"
    # as Debian ships it, but for the port
    config.write_text(
        f'Port = {port}\nAddress = "127.0.0.1"\nUseContentLength = false\nImageQuality = {{30,25,25,20}}\n'
    )
    pid = folder / "ziproxy.pid"
    subprocess.run([binary, "-d", "-c", str(config), "-p", str(pid)], check=True, capture_output=True)
    stack.callback(lambda: subprocess.run([binary, "-k", "-p", str(pid)], check=False, capture_output=True))
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return port
        time.sleep(0.1)
    raise StandFailed("ziproxy does not listen")


def _runtime(stack: contextlib.ExitStack, folder: Path) -> str:
    ready = "runtime.json"
    (folder / "runtime.toml").write_text("[runtime]\nlisten_port = 0\n", encoding="utf-8")
    command = [sys.executable, "-m", "proxy", "runtime", "--config", str(folder / "runtime.toml")]
    command += ["--state-dir", str(folder / "runtime")]
    told = stands.start(stack, folder, "runtime", [*command, "--ready-file", str(folder / ready)], ready)
    return f"http://127.0.0.1:{told['port']}"


async def measure(way: Way, pages: int, per_page: int, rounds: int, warm: bool) -> dict[str, object]:
    """The first load of each page, and the medians of the later ones."""
    cold = [await _first(way, page, per_page) for page in range(pages)] if warm else []
    loads = [await load(way, page, per_page) for _ in range(rounds) for page in range(pages)]
    middle = {key: statistics.median(asdict(each)[key] for each in loads) for key in asdict(loads[0])}
    return {"cold": [asdict(each) for each in cold], "loads": [asdict(each) for each in loads], "median": middle}


async def _first(way: Way, page: int, per_page: int) -> Load:
    for last in [False] * WARM_TRIES + [True]:
        try:
            return await load(way, page, per_page)
        except (AssertionError, aiohttp.ClientError):
            if last:
                raise
            await asyncio.sleep(1.0)
    raise AssertionError


def table(profile: str, figures: dict[str, dict[str, object]]) -> str:
    """Medians and ratios to direct, in Markdown."""
    lines = ["| profile | way | TTFB s | load s | bytes | direct ÷ load | bytes fewer than direct |"]
    lines.append("|---|---|--:|--:|--:|--:|--:|")
    direct = figures.get("direct", {}).get("median")
    for joint, told in figures.items():
        middle = told["median"]
        assert isinstance(middle, dict)
        ratio = fewer = "–"
        if isinstance(direct, dict):
            ratio = f"{direct['load_s'] / middle['load_s']:.1f}×"
            fewer = f"{1 - middle['wire_bytes'] / direct['wire_bytes']:.1%}"
        figures_text = f"{middle['ttfb_s']:.2f} | {middle['load_s']:.1f} | {middle['wire_bytes']:,.0f}"
        lines.append(f"| {profile} | {joint} | {figures_text} | {ratio} | {fewer} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--profiles", default="64:600,256:300,2000:80", help="KBIT_S:RTT_MS, …")
    parser.add_argument("--joints", default="direct,ziproxy,chain,plain,link")
    parser.add_argument("--pages", type=int, default=2)
    parser.add_argument("--per-page", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    told: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as root:
        for profile in options.profiles.split(","):
            kbit_s, rtt_ms = map(float, profile.split(":"))
            figures: dict[str, dict[str, object]] = {}
            for joint in options.joints.split(","):
                folder = Path(root) / profile.replace(":", "-") / joint
                folder.mkdir(parents=True)
                size = make_pages(folder, options.pictures, options.pages, options.per_page)
                warm = joint in ("chain", "plain", "link")
                try:
                    with way_to(folder, joint, rtt_ms / 2, kbit_s) as way:
                        task = measure(way, options.pages, options.per_page, options.rounds, warm)
                        figures[joint] = asyncio.run(task)
                except (StandFailed, AssertionError, aiohttp.ClientError, subprocess.SubprocessError) as error:
                    print(f"{joint}: not measured: {error}", flush=True)
                    continue
                print(joint, size, json.dumps(figures[joint]["median"]), flush=True)
            told[profile] = figures
            print(table(profile, figures), flush=True)
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
