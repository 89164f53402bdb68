"""The proxy's own pages, as browsers and scripts meet them; with Chromium also how they look."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.e2e.chromium import BINARY, Browser, chromium
from tests.e2e.origin import photo
from tests.e2e.own_pages import OwnPages, running

PAGE = "http://sketchwire.internal"
FORM = {"Origin": PAGE, "Content-Type": "application/x-www-form-urlencoded"}
browser_here = pytest.mark.skipif(BINARY is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPages]:
    with running(tmp_path_factory.mktemp("own")) as pages:
        yield pages


class Answer:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


class Script:
    """A client that is set to the downstream proxy."""

    def __init__(self, pages: OwnPages, session: aiohttp.ClientSession) -> None:
        self._pages, self._session = pages, session
        self._trust = ssl.create_default_context(cafile=str(pages.downstream.ca))

    async def ask(self, url: str, method: str = "GET", data: bytes | None = None, **fields: str) -> Answer:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        options: dict[str, Any] = {"proxy": self._pages.downstream.url, "ssl": self._trust, "allow_redirects": False}
        async with self._session.request(method, url, headers=headers, data=data, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def token(self) -> str:
        found = re.search(rb'name="token" value="([0-9a-f]+)"', (await self.ask(f"{PAGE}/")).body)
        assert found
        return found[1].decode()

    async def choose(self, do: str, address: str = "", token: str | None = None, **fields: str) -> Answer:
        token = await self.token() if token is None else token
        data = f"token={token}&do={do}&address={address}".encode()
        given = {name.replace("-", "_"): value for name, value in FORM.items()} | fields
        return await self.ask(f"{PAGE}/choose", "POST", data, **{k: v for k, v in given.items() if v})


@pytest.fixture
async def script(pages: OwnPages) -> AsyncIterator[Script]:
    pages.origin.log.clear()
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        script = Script(pages, session)
        yield script
        found = (await script.ask(f"{PAGE}/")).body.decode()
        for kind, address in re.findall(r'name="address" value="([^"]+)"><button name="do" value="undo-(\w+)"', found):
            await script.choose(f"undo-{address}", kind)
        await script.choose("on")


async def test_the_page_is_there_without_upstream_and_closed_to_other_sites(pages: OwnPages, script: Script) -> None:
    upstream_saw = len(pages.upstream.log.read_text())
    for url in (f"{PAGE}/", "https://sketchwire.internal/"):
        answer = await script.ask(url)
        assert answer.status == 200 and b"this browser uses Sketchwire" in answer.body
        assert answer.headers["Cache-Control"] == "no-store" and "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["X-Frame-Options"] == "DENY" and "Set-Cookie" not in answer.headers
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert b"<script" not in answer.body and b" style=" not in answer.body and b" on" + b"click" not in answer.body
    assert pages.origin.log == [] and len(pages.upstream.log.read_text()) == upstream_saw


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://sketchwire.internal:8080/", None),
        ("http://www.sketchwire.internal/", None),
        ("http://sketchwire.internal./", None),
        ("http://sketchwire.internal/", "evil.test"),
        ("http://evil.test/", "sketchwire.internal"),
    ],
)
async def test_the_name_is_ours_however_it_is_written_and_serves_only_itself(
    pages: OwnPages, script: Script, url: str, host: str | None
) -> None:
    answer = await script.ask(url, **({"Host": host} if host else {}))
    assert answer.status == 421 and b'name="token"' not in answer.body


async def test_raw_bytes_for_our_name_go_nowhere(pages: OwnPages) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", pages.downstream.port)
    writer.write(b"CONNECT sketchwire.internal:443 HTTP/1.1\r\n\r\n")
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x05\x01\x00 no HTTP\r\n\r\n")
    rest = await asyncio.wait_for(reader.read(), 10)
    assert rest == b"" or b" 400 " in rest
    writer.close()
    for target in (b"www.sketchwire.internal:443", b"sketchwire.internal:22"):
        reader, writer = await asyncio.open_connection("127.0.0.1", pages.downstream.port)
        writer.write(b"CONNECT " + target + b" HTTP/1.1\r\n\r\n")
        assert b" 403 " in await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def test_the_certificate_in_every_format(pages: OwnPages, script: Script) -> None:
    pem = pages.downstream.ca.read_bytes()
    wanted = x509.load_pem_x509_certificate(pem)
    served = await script.ask(f"{PAGE}/sketchwire-ca.pem")
    assert x509.load_pem_x509_certificate(served.body) == wanted
    der = await script.ask(f"{PAGE}/sketchwire-ca.cer")
    assert x509.load_der_x509_certificate(der.body) == wanted
    assert der.headers["Content-Type"] == "application/x-x509-ca-cert"
    profile = await script.ask(f"{PAGE}/sketchwire-ca.mobileconfig")
    assert profile.headers["Content-Type"] == "application/x-apple-aspen-config"
    home = (await script.ask(f"{PAGE}/")).body.decode()
    digits = hashlib.sha256(der.body).hexdigest().upper()
    assert ":".join(digits[i : i + 2] for i in range(0, 64, 2)) in home
    for answer in (served, der, profile):
        assert b"PRIVATE KEY" not in answer.body


async def test_who_is_not_set_up_yet_is_helped_at_the_proxys_address(pages: OwnPages) -> None:
    async with aiohttp.ClientSession() as session:
        base = pages.downstream.url
        async with session.get(f"{base}/") as answer:
            text = await answer.text()
        assert answer.status == 200 and "/proxy.pac" in text and 'name="token"' not in text and "<form" not in text
        async with session.get(f"{base}/proxy.pac") as answer:
            pac = await answer.text()
        assert answer.headers["Content-Type"] == "application/x-ns-proxy-autoconfig"
        assert f"PROXY 127.0.0.1:{pages.downstream.port}" in pac
        async with session.get(f"{base}/sketchwire-ca.pem") as answer:
            assert b"BEGIN CERTIFICATE" in await answer.read()
        async with session.get(f"{base}/", headers={"Host": "sketchwire.internal"}) as answer:
            assert 'name="token"' not in await answer.text(), "the page is for who comes through the proxy"
        async with session.post(f"{base}/choose", data=b"do=off") as answer:
            assert answer.status == 405


@pytest.mark.parametrize(
    ("fields", "token"),
    [
        ({"Origin": ""}, None),
        ({"Origin": "http://evil.test"}, None),
        ({"Origin": "https://sketchwire.internal"}, None),
        ({"Origin": "http://sketchwire.internal.evil.test"}, None),
        ({"Origin": "null"}, None),
        ({"Sec_Fetch_Site": "cross-site"}, None),
        ({"Sec_Fetch_Site": "same-site"}, None),
        ({"Content_Type": "text/plain"}, None),
        ({}, ""),
        ({}, "0" * 32),
    ],
)
async def test_nobody_else_can_change_anything(
    pages: OwnPages, script: Script, fields: dict[str, str], token: str | None
) -> None:
    answer = await script.choose("off", token=token, **fields)
    assert answer.status == 403
    assert b"this browser uses Sketchwire" in (await script.ask(f"{PAGE}/")).body, "still on"
    assert (await script.ask(f"{PAGE}/choose?do=off")).status == 404


async def test_a_form_that_is_too_large_is_cut_off(script: Script) -> None:
    with pytest.raises(aiohttp.ClientError):
        await script.ask(f"{PAGE}/choose", "POST", b"x" * 100_000)


async def test_originals_for_a_site_a_page_and_everything(pages: OwnPages, script: Script) -> None:
    async def photograph(referer: str = "") -> bytes:
        fields = {"Accept": "image/webp,image/*"} | ({"Referer": referer} if referer else {})
        return (await script.ask(f"{pages.site}/photo.jpg", **fields)).body

    assert await photograph() != photo()
    assert (await script.choose("original-site", pages.site.replace("/", "%2F"))).status == 303
    assert await photograph() == photo()
    file = pages.folder / "downstream" / "choices.json"
    async with asyncio.timeout(10):  # it is written soon, not before the answer
        while "news.demo.test" not in file.read_text():
            await asyncio.sleep(0.02)
    assert "127.0.0.1" not in file.read_text() and file.stat().st_mode & 0o777 == 0o600
    await script.choose("undo-site", "news.demo.test")
    assert await photograph() != photo()
    await script.choose("original-page", f"{pages.site}/pages/1".replace("/", "%2F"))
    assert await photograph() != photo()
    assert await photograph(f"{pages.site}/pages/1") == photo()
    assert await photograph(f"{pages.site}/pages/2") != photo()
    await script.ask(f"{pages.site}/pages/1", Accept="text/html")
    assert await photograph(f"{pages.site}/") == photo(), "a Referer that names the origin only: the last page there"
    await script.choose("off")
    assert await photograph() == photo()
    assert b"everything passes untouched" in (await script.ask(f"{PAGE}/")).body
    await script.choose("on")
    assert await photograph() != photo()
    assert (await script.ask(f"{pages.site}/photo.jpg", Sketchwire_Original="1", Accept="image/*")).body == photo()


async def test_what_is_no_address_is_said(script: Script) -> None:
    answer = await script.choose("original-site", "%22%3E%3Cscript%3E")
    assert answer.status == 422 and b'role="alert"' in answer.body and b"<script" not in answer.body


async def test_the_self_test_is_for_our_own_page_only(script: Script) -> None:
    ours = await script.ask("https://sketchwire.internal/ok.svg", Referer=f"{PAGE}/")
    assert ours.status == 200 and ours.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    for referer in ("http://evil.test/", "http://sketchwire.internal.evil.test/", ""):
        answer = await script.ask("https://sketchwire.internal/ok.svg", **({"Referer": referer} if referer else {}))
        assert answer.status == 403
    assert b"trusts Sketchwire" in (await script.ask("https://sketchwire.internal/ok")).body


def key_hash(certificate: Path) -> str:
    """The SHA-256 of a certificate's public key, as Chromium's --ignore-certificate-errors-spki-list wants it."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def flags(pages: OwnPages, trusting: bool = True) -> list[str]:
    trust = [f"--ignore-certificate-errors-spki-list={key_hash(pages.downstream.ca)}"] if trusting else []
    return [f"--proxy-server={pages.downstream.url}", "--proxy-bypass-list=<-loopback>", *trust]


async def settle(browser: Browser, condition: str, timeout_s: float = 20) -> None:
    """Wait until a JavaScript expression is true on the page."""
    async with asyncio.timeout(timeout_s):
        while await browser.evaluate(condition) is not True:
            await asyncio.sleep(0.05)


@browser_here
@pytest.mark.timeout(180)
async def test_a_person_shows_the_originals_of_a_site_and_gets_them(
    pages: OwnPages, script: Script, tmp_path: Path
) -> None:
    size = "(async()=>(await (await fetch('/photo.jpg', {cache:'no-cache'})).blob()).size)()"
    async with chromium(tmp_path / "profile", *flags(pages)) as browser:
        await browser.load(f"{pages.site}/")
        assert [(image.width, image.height) for image in await browser.images()] == [(600, 400)]
        drawn = await browser.evaluate("performance.getEntriesByName(document.images[0].src)[0].encodedBodySize")
        await browser.load(f"{PAGE}/")
        assert not [error for error in browser.errors() if PAGE in error]
        await browser.evaluate(f"document.getElementById('address').value = {json.dumps(pages.site)}")
        await browser.evaluate("document.querySelector('[value=original-site]').click()")
        await settle(
            browser, "document.querySelector('ul.chosen span')?.textContent.startsWith('news.demo.test') === true"
        )
        await browser.load(f"{pages.site}/")
        shown = await browser.evaluate(size)
        assert shown == len(photo()) != drawn
        await browser.load(f"{PAGE}/")
        await browser.evaluate("document.querySelector('[value=undo-site]').click()")
        await settle(browser, "document.querySelector('ul.chosen') === null")


@browser_here
@pytest.mark.timeout(180)
async def test_another_site_cannot_press_the_buttons(pages: OwnPages, script: Script, tmp_path: Path) -> None:
    token = await script.token()
    press = f"""(() => {{ const form = document.createElement('form'); form.method = 'post'; form.id = 'evil';
      form.action = '{PAGE}/choose'; for (const [name, value] of [['token', '{token}'], ['do', 'off']]) {{
      const field = document.createElement('input'); field.name = name; field.value = value; form.append(field); }}
      document.body.append(form); form.submit(); }})()"""
    async with chromium(tmp_path / "profile", *flags(pages)) as browser:
        await browser.load(f"{pages.site}/")
        read = f"fetch('{PAGE}/').then(() => 'read', () => 'closed')"
        assert await browser.evaluate(read) == "closed"
        await browser.evaluate(press)
        await settle(browser, "document.querySelector('h2')?.textContent === 'Nothing was changed'")
    assert b"this browser uses Sketchwire" in (await script.ask(f"{PAGE}/")).body


@browser_here
@pytest.mark.timeout(240)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 900)])
async def test_how_it_looks(
    pages: OwnPages, script: Script, tmp_path: Path, scheme: str, width: int, height: int
) -> None:
    """Nothing sticks out, targets are large enough for fingers, text has contrast; SKETCHWIRE_SHOTS keeps pictures."""
    await script.ask(f"{pages.site}/photo.jpg", Accept="image/webp,image/*")
    await script.choose("original-site", "pictures.example.org")
    async with chromium(tmp_path / "profile", *flags(pages)) as browser:
        await browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        phone = width < 600
        await browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=phone
        )
        await browser.load(f"{PAGE}/")
        await settle(browser, "document.querySelector('img.answer').naturalWidth > 0")
        assert not browser.errors()
        assert await browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        targets = "[...document.querySelectorAll('button,input[type=text],summary')].every(e=>e.offsetHeight>=44)"
        assert await browser.evaluate(targets)
        assert await browser.evaluate(_CONTRAST) >= 4.5
        assert await browser.evaluate("[...document.querySelectorAll('input[type=text]')].every(e=>e.labels.length)")
        shots = os.environ.get("SKETCHWIRE_SHOTS")
        if shots:
            await browser.evaluate("document.querySelector('details').open = true")
            tall = int(await browser.evaluate("document.documentElement.scrollHeight"))
            await browser.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=tall, deviceScaleFactor=1, mobile=phone
            )
            await browser.screenshot(Path(shots) / f"own-pages-{width}-{scheme}.png")


# the lowest contrast of any text against the nearest painted background (WCAG 2.2, 1.4.3)
_CONTRAST = """(() => {
  const numbers = c => c.match(/[\\d.]+/g).map(Number);
  const linear = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => { const [r, g, b] = numbers(c).map(linear);
    return .2126 * r + .7152 * g + .0722 * b; };
  const painted = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if ((numbers(c)[3] ?? 1) === 1) return c; } return 'rgb(255,255,255)'; };
  return Math.min(...[...document.querySelectorAll('body *')].filter(e => e.offsetHeight && [...e.childNodes].some(
    n => n.nodeType === 3 && n.textContent.trim())).map(e => { const [a, b] = [light(getComputedStyle(e).color),
    light(painted(e))].sort((x, y) => y - x); return (a + .05) / (b + .05); }));
})()"""
