"""The demonstration's origin behaves like a web server, over http and https, and its CA can do nothing else."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509

from proxy.demo import DemoSite, build_site
from proxy.demo.certificates import Certificates, make_certificates
from proxy.demo.origin import HOST, Origin, serve
from proxy.demo.visit import problem_of, visit


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> DemoSite:
    return build_site(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path / "certificates", HOST)


@pytest.fixture
async def origin(site: DemoSite, certificates: Certificates) -> AsyncIterator[Origin]:
    async with serve(site, certificates) as running:
        yield running


def address(origin: Origin, path: str) -> str:
    return f"http://{origin.address}:{origin.http_port}{path}"


async def test_every_image_arrives_over_https_under_the_origins_name(origin: Origin, site: DemoSite) -> None:
    delivered = [item async for item in visit(origin, site, ca=origin.ca)]
    assert {item.image.path for item in delivered} == {image.path for image in site.images}
    assert len(delivered) == len(site.images)
    for item in delivered:
        assert item.problem == "" and item.media_type == item.image.media_type
        assert hashlib.sha256(item.body).digest() == hashlib.sha256(site.file(item.image.path).read_bytes()).digest()


async def test_nobody_trusts_the_origin_without_its_ca(origin: Origin, site: DemoSite) -> None:
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        _ = [item async for item in visit(origin, site, ca=None)]


async def test_freshness_and_validators(origin: Origin) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(address(origin, "/images/dahlia.jpg")) as first:
            assert first.headers["Cache-Control"] == "public, max-age=86400"
            tag, modified = first.headers["ETag"], first.headers["Last-Modified"]
        for headers in ({"If-None-Match": f'"x", W/{tag}'}, {"If-None-Match": "*"}, {"If-Modified-Since": modified}):
            async with session.get(address(origin, "/images/dahlia.jpg"), headers=headers) as again:
                assert again.status == 304 and again.headers["ETag"] == tag and await again.read() == b""
        for headers in (
            {"If-None-Match": '"other"', "If-Modified-Since": modified},
            {"If-Modified-Since": "yesterday"},
            {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        ):
            async with session.get(address(origin, "/images/dahlia.jpg"), headers=headers) as again:
                assert again.status == 200


async def test_byte_ranges(origin: Origin, site: DemoSite) -> None:
    body = site.file("/images/dahlia.jpg").read_bytes()
    cases = {"bytes=0-99": body[:100], "bytes=-10": body[-10:], f"bytes={len(body) - 5}-": body[-5:]}
    async with aiohttp.ClientSession() as session:
        for asked, expected in cases.items():
            async with session.get(address(origin, "/images/dahlia.jpg"), headers={"Range": asked}) as part:
                assert part.status == 206 and await part.read() == expected
                assert part.headers["Content-Range"].endswith(f"/{len(body)}")
        async with session.get(address(origin, "/images/dahlia.jpg"), headers={"Range": "bytes=9999999-"}) as part:
            assert part.status == 416
        async with session.get(address(origin, "/images/dahlia.jpg"), headers={"Range": "lines=1-2"}) as whole:
            assert whole.status == 200


@pytest.mark.parametrize("path", ["/missing.html", "/../origin-key.pem", "/images/../../certificates/origin-key.pem"])
async def test_only_the_site_is_served(origin: Origin, path: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(address(origin, path)) as response:
        assert response.status == 404


async def test_the_front_page_has_a_short_address(origin: Origin) -> None:
    async with aiohttp.ClientSession() as session, session.get(address(origin, "/")) as response:
        assert response.content_type == "text/html" and "Tidewater" in await response.text()


def test_the_ca_is_for_one_name_and_two_days(certificates: Certificates) -> None:
    ca = x509.load_pem_x509_certificate(certificates.ca.read_bytes())
    permitted = ca.extensions.get_extension_for_class(x509.NameConstraints)
    assert permitted.critical and permitted.value.permitted_subtrees == [x509.DNSName(HOST)]
    assert ca.not_valid_after_utc - datetime.now(UTC) < timedelta(days=3)
    assert certificates.leaf_key.stat().st_mode & 0o077 == 0
    assert [path.name for path in sorted(certificates.ca.parent.iterdir())] == [
        "origin-ca.pem",
        "origin-key.pem",
        "origin.pem",
    ]


async def test_a_leaf_for_another_name_is_not_believed(tmp_path: Path, site: DemoSite) -> None:
    certificates = make_certificates(tmp_path, "other.demo.test")
    async with serve(site, certificates, host=HOST) as origin:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            _ = [item async for item in visit(origin, site, ca=origin.ca)]


def test_what_a_browser_could_not_show_is_a_problem(site: DemoSite) -> None:
    image = next(image for image in site.images if image.name == "dahlia")
    body = site.file(image.path).read_bytes()
    other = site.file("/images/espresso.jpg").read_bytes()
    assert problem_of(image, 200, "image/jpeg", body) == ""
    assert problem_of(image, 502, "image/jpeg", body) == "status 502"
    assert "text/html" in problem_of(image, 200, "text/html", body)
    assert "cannot be decoded" in problem_of(image, 200, "image/jpeg", body[: len(body) // 2])
    assert "600×400" in problem_of(image, 200, "image/jpeg", other)


async def test_a_connection_that_fails_is_a_result(site: DemoSite, certificates: Certificates) -> None:
    html = site.file("/index.html").read_bytes()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/index.html":
            return web.Response(body=html, content_type="text/html")
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.leaf, certificates.leaf_key)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    origin = Origin(HOST, 0, runner.addresses[0][1], certificates.ca, certificates.leaf)
    delivered = [item async for item in visit(origin, site, ca=certificates.ca, max_pages=1)]
    await runner.cleanup()
    assert len(delivered) >= 4 and all(item.problem for item in delivered)
