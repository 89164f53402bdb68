"""What a person sees: the demo site in a real browser, through the pair, over http and https."""

import base64
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from proxy.demo.certificates import make_certificates
from proxy.demo.origin import HOST, Origin, serve
from proxy.demo.pair import Pair, running_pair
from proxy.demo.site import DemoSite, build_site
from tests.e2e.chromium import BINARY, Browser, chromium

pytestmark = [
    pytest.mark.skipif(BINARY is None, reason="chromium is not installed"),
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="module"),
]


def key_hash(certificate: Path) -> str:
    """The SHA-256 of a certificate's public key, as Chromium's --ignore-certificate-errors-spki-list wants it."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    return base64.b64encode(
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode()


class Stage:
    """The demo site, its origin and the pair in front of it."""

    def __init__(self, site: DemoSite, origin: Origin, pair: Pair, folder: Path) -> None:
        self.site, self.origin, self.pair, self.folder = site, origin, pair, folder

    def browser_flags(self) -> list[str]:
        return [
            f"--proxy-server={self.pair.url}",
            "--proxy-bypass-list=<-loopback>",
            f"--ignore-certificate-errors-spki-list={key_hash(self.pair.ca)}",
        ]

    async def assert_page_is_whole(self, browser: Browser, path: str, scheme: str) -> int:
        """Load a page; every image has the origin's size. Returns how many there are."""
        await browser.load(self.origin.url(path, scheme))
        shown = await browser.images()
        for image in shown:
            original = self.site.image("/" + image.src.split("/", 3)[3].split("?")[0])
            assert original is not None, image.src
            assert (image.width, image.height) == (original.width_px, original.height_px), image.src
        return len(shown)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    tmp_path = tmp_path_factory.mktemp("browser")
    site = build_site(tmp_path / "site")
    async with (
        serve(site, make_certificates(tmp_path / "certificates", HOST)) as origin,
        running_pair(origin, tmp_path / "state") as pair,
    ):
        yield Stage(site, origin, pair, tmp_path)


async def test_no_image_is_broken_over_http_and_https(stage: Stage, tmp_path: Path) -> None:
    async with chromium(tmp_path / "profile", *stage.browser_flags()) as browser:
        for scheme in ("https", "http"):
            images = 0
            for page in stage.site.pages:
                images += await stage.assert_page_is_whole(browser, page.path, scheme)
                assert not browser.errors()
            assert images >= 12
    rows = [row for _, row in stage.pair.rows()]
    assert sum(row.decision == "reconstructed" for row in rows) >= 8


async def test_a_runtime_killed_in_mid_page_breaks_nothing(stage: Stage, tmp_path: Path) -> None:
    ready = json.loads((stage.folder / "state" / "ready.json").read_text())
    async with chromium(tmp_path / "profile", *stage.browser_flags()) as browser:
        await stage.assert_page_is_whole(browser, stage.site.pages[0].path, "https")
        os.kill(ready["runtime"]["pid"], signal.SIGKILL)
        for page in stage.site.pages[1:]:
            await stage.assert_page_is_whole(browser, page.path, "https")
