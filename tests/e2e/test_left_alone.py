"""Connections that pass untouched at both ends: by the list, because a client pins, because it switched us off."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from proxy.statefile import read_object
from proxy.tunnel.refusals import in_force
from tests.e2e.origin import photo
from tests.e2e.own_pages import BANK, PINNED, SITE, OwnPages, running

ORIGIN, OURS, REFUSED = "Test origin authority", "mitmproxy", "refused"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPages]:
    with running(tmp_path_factory.mktemp("alone")) as pages:
        yield pages


async def issuer(pages: OwnPages, host: str, trust: Path) -> str:
    """Who signed the certificate that a client sees which trusts one authority; "refused" when it trusts another."""
    return await asyncio.to_thread(_issuer, pages, host, trust)


def _issuer(pages: OwnPages, host: str, trust: Path) -> str:
    context = ssl.create_default_context(cafile=str(trust))
    target = f"{host}:{pages.https_port[host]}"
    with socket.create_connection(("127.0.0.1", pages.downstream.port), timeout=30) as plain:
        plain.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert b" 200 " in plain.recv(65536)
        try:
            secure = context.wrap_socket(plain, server_hostname=host)
        except ssl.SSLCertVerificationError:
            return REFUSED
        with secure:
            certificate = secure.getpeercert()
            fields = "Accept: image/webp,image/*\r\nConnection: close\r\n"
            secure.sendall(f"GET /photo.jpg HTTP/1.1\r\nHost: {target}\r\n{fields}\r\n".encode())
            came = b""
            while chunk := secure.recv(65536):
                came += chunk
    assert certificate is not None
    names = dict(pair[0] for pair in certificate["issuer"])  # type: ignore[union-attr, misc, index]
    name = str(names["commonName"])  # type: ignore[index]
    assert (photo() in came) is (name == ORIGIN), "untouched means untouched, and opened means drawn"
    return name


async def switch(pages: OwnPages, do: str) -> None:
    """Press a button of the proxy's page."""
    page, fields = "http://sketchwire.internal", {"Origin": "http://sketchwire.internal"}
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{page}/", proxy=pages.downstream.url) as answer:
            token = (await answer.text()).partition('name="token" value="')[2].partition('"')[0]
        data = {"token": token, "do": do}
        async with session.post(f"{page}/choose", data=data, headers=fields, proxy=pages.downstream.url) as answer:
            assert answer.status == 200, "after the redirect"


async def test_a_bank_is_never_opened_at_either_end(pages: OwnPages) -> None:
    assert await issuer(pages, BANK, pages.origin_ca) == ORIGIN
    assert await issuer(pages, BANK, pages.downstream.ca) == REFUSED, "it really is the origin's certificate"


async def test_the_life_of_a_device(pages: OwnPages) -> None:
    """It comes without our authority, gets it, has an application that pins, switches us off, and we restart."""
    ca, state = pages.downstream.ca, pages.folder / "downstream"
    tries = [await issuer(pages, PINNED, pages.origin_ca) for _ in range(3)]
    assert tries == [REFUSED, REFUSED, ORIGIN], "without our authority it can browse"
    assert await issuer(pages, SITE, ca) == OURS, "it has the authority now"
    assert await issuer(pages, PINNED, ca) == OURS, "so its hosts get another chance"
    tries = [await issuer(pages, PINNED, pages.origin_ca) for _ in range(4)]
    assert tries == [REFUSED, REFUSED, ORIGIN, ORIGIN], "an application pins"
    assert await issuer(pages, SITE, ca) == OURS, "other hosts are opened as before"
    await switch(pages, "off")
    assert await issuer(pages, SITE, pages.origin_ca) == ORIGIN
    assert [client[0] for client in json.loads((state / "choices.json").read_text())["clients"].values()] == [True]
    await switch(pages, "on")
    assert await issuer(pages, SITE, ca) == OURS
    assert await asyncio.to_thread(pages.downstream.stop) == 0
    kept = state / "refusals.json"
    assert PINNED not in kept.read_text() and "127.0.0.1" not in kept.read_text() and kept.stat().st_mode & 0o77 == 0
    (until_s,) = in_force(read_object(kept), time.time())
    assert 86_000 < until_s - time.time() <= 86_400
    assert PINNED not in pages.downstream.log.read_text(), "and it is in no log"
