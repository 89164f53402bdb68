"""Chromium, for looking at the newspaper with and without the pair.

In: the origin, the pair, pages. Out: screenshots, and the command line with which a person can look for themselves.
Refuses: to touch a user's own profile or trust store: each start has a fresh profile and accepts exactly one public key
besides the public CAs.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

from proxy.demo.origin import Origin
from proxy.demo.pair import Pair
from proxy.demo.site import DemoPage

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WINDOW_PX = (1200, 4200)
LIMIT_S = 60.0
_SETTLE_MS = 8_000  # of virtual time: images that are still under way are waited for
_QUIET = (
    "--disable-quic",  # else it may go round the proxy
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_HEADLESS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")


@dataclass(frozen=True, slots=True)
class Screenshots:
    """One page without and with the pair; `browser_ms` is what each start of the browser took in all."""

    title: str
    before: Path
    after: Path


def find_chromium() -> str | None:
    """The first Chromium or Chrome on the PATH."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def public_key_hash(certificate: Path) -> str:
    """Base64 of the SHA-256 of a PEM certificate's public key, as Chromium's --ignore-certificate-errors-spki-list."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    return base64.b64encode(digest).decode("ascii")


def direct_flags(origin: Origin) -> list[str]:
    """Straight to the origin, whose name nobody else resolves."""
    rules = f"--host-resolver-rules=MAP {origin.host} {origin.address}"
    return [rules, f"--ignore-certificate-errors-spki-list={public_key_hash(origin.leaf)}"]


def proxied_flags(pair: Pair) -> list[str]:
    """Through the pair, which the browser may trust with every name."""
    return [
        f"--proxy-server={pair.url}",
        "--proxy-bypass-list=<-loopback>",
        f"--ignore-certificate-errors-spki-list={public_key_hash(pair.ca)}",
    ]


def look_yourself(pair: Pair, origin: Origin, chromium: str | None) -> str:
    """A command line that opens the newspaper through the pair, in a profile of its own."""
    profile = f"--user-data-dir={Path(tempfile.gettempdir()) / 'sketchwire-demo-profile'}"
    words = [chromium or NAMES[0], profile, *_QUIET[:3], *proxied_flags(pair), origin.url("/")]
    return " ".join(f"'{word}'" if set(word) & set("<>; &") else word for word in words)


async def screenshot_pages(
    chromium: str, origin: Origin, pair: Pair, pages: Sequence[DemoPage], folder: Path
) -> list[Screenshots]:
    """Each page before and after, as PNG files in `folder`; a page that the browser fails at is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    for page in pages:
        name = page.path.strip("/").removesuffix(".html")
        shot = Screenshots(page.title, folder / f"{name}-before.png", folder / f"{name}-after.png")
        url = origin.url(page.path)
        before = await _screenshot(chromium, direct_flags(origin), url, shot.before)
        after = await _screenshot(chromium, proxied_flags(pair), url, shot.after)
        if before and after:
            _trim(shot.before, shot.after)
            taken.append(shot)
    return taken


async def _screenshot(chromium: str, flags: Sequence[str], url: str, target: Path) -> bool:
    with tempfile.TemporaryDirectory(prefix="sketchwire-browser-", ignore_cleanup_errors=True) as profile:
        window = f"--window-size={WINDOW_PX[0]},{WINDOW_PX[1]}"
        page = (f"--virtual-time-budget={_SETTLE_MS}", window, f"--user-data-dir={profile}", f"--screenshot={target}")
        process = await asyncio.create_subprocess_exec(
            chromium, *_HEADLESS, *_QUIET, *page, *flags, url,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await asyncio.wait_for(process.wait(), LIMIT_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode == 0 and target.is_file()


def _trim(*files: Path) -> None:
    """Cut the empty end off screenshots of a page, all to the same height."""
    opened = [Image.open(file).convert("RGB") for file in files]
    heights = []
    for image in opened:
        empty = Image.new("RGB", image.size, image.getpixel((image.width - 1, image.height - 1)))
        box = ImageChops.difference(image, empty).getbbox()
        heights.append(min(image.height, box[3] + 40) if box else image.height)
    for file, image in zip(files, opened, strict=True):
        image.crop((0, 0, image.width, max(heights))).save(file, "PNG")
