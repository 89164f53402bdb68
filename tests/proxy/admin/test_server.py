"""The admin port: metrics for who may see them, nothing for others."""

from __future__ import annotations

import base64
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from proxy.admin.server import AdminError, AdminServer, Metered, is_loopback, load_token

TOKEN = "0123456789abcdef-token"
METERED = Metered("text/plain; version=0.0.4", lambda: b"sketchwire_up 1\n")


@pytest.fixture
async def asked() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def server() -> AsyncIterator[AdminServer]:
    made = AdminServer("127.0.0.1", 0, METERED)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def guarded() -> AsyncIterator[AdminServer]:
    made = AdminServer("127.0.0.1", 0, METERED, TOKEN)
    await made.start()
    yield made
    await made.stop()


async def test_metrics_and_health_on_loopback(server: AdminServer, asked: aiohttp.ClientSession) -> None:
    async with asked.get(f"http://127.0.0.1:{server.port}/metrics") as answer:
        assert answer.status == 200 and await answer.read() == b"sketchwire_up 1\n"
        assert answer.headers["Content-Type"] == METERED.content_type and answer.headers["Cache-Control"] == "no-store"
    async with asked.get(f"http://localhost:{server.port}/healthz") as answer:
        assert (await answer.json())["status"] == "ok"
    async with asked.get(f"http://127.0.0.1:{server.port}/etc") as answer:
        assert answer.status == 404


async def test_a_page_whose_name_points_here_gets_nothing(server: AdminServer, asked: aiohttp.ClientSession) -> None:
    async with asked.get(f"http://127.0.0.1:{server.port}/metrics", headers={"Host": "rebound.example"}) as answer:
        assert answer.status == 403 and b"sketchwire_up" not in await answer.read()


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (basic(TOKEN), 200),
        (None, 401),
        ("Bearer wrong", 401),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer ", 401),
        (basic("wrong"), 401),
        ("Basic not-base64!", 401),
        ("Basic " + base64.b64encode(b"\xff\xfe:x").decode(), 401),
        (TOKEN, 401),
    ],
)
async def test_the_token_is_asked_for(
    guarded: AdminServer, asked: aiohttp.ClientSession, shown: str | None, status: int
) -> None:
    headers = {"Authorization": shown} if shown is not None else {}
    async with asked.get(f"http://127.0.0.1:{guarded.port}/metrics", headers=headers) as answer:
        assert answer.status == status and (b"sketchwire_up" in await answer.read()) is (status == 200)
        assert ("WWW-Authenticate" in answer.headers) is (status == 401)


def test_other_addresses_need_a_token() -> None:
    with pytest.raises(AdminError, match="token"):
        AdminServer("0.0.0.0", 0, METERED)
    assert not is_loopback("0.0.0.0") and not is_loopback("example.org") and is_loopback("[::1]")


async def test_a_port_in_use_is_said(server: AdminServer) -> None:
    with pytest.raises(AdminError, match=str(server.port)):
        await AdminServer("127.0.0.1", server.port, METERED).start()


def test_the_token_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "state" / "admin.token"
    token = load_token(path)
    assert len(token) >= 32 and load_token(path) == token and stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(AdminError, match="chmod 600"):
        load_token(path)
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(AdminError, match="too short"):
        load_token(path)
