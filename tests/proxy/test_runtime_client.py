"""The proxies' client against a stub that says whatever a test wants, and against the real service."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from aiohttp import web
from PIL import Image

from client_runtime.engines.preview import PreviewEngine
from client_runtime.service.server import serving
from proxy import runtime_client
from proxy.bundle import MEDIA_TYPE, Bundle, Coding, Picture, pack, unpack, webp
from proxy.bundle.preview import render
from proxy.config import RuntimeConfig
from proxy.runtime_client import (
    Reconstructed,
    ReconstructionError,
    RuntimeBusy,
    RuntimeClient,
    RuntimeRefused,
    RuntimeTimeout,
    RuntimeUnavailable,
)

PATIENCE_S = 10.0
PNG = b"\x89PNG\r\n\x1a\n the rest"
ABOUT = {
    "engine": "fake",
    "fingerprint": "0123456789abcdef",
    "modes": ["edges", "thumbnail"],
    "version": "1",
    "fallback": None,
}

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Stub:
    """A runtime that answers with `post` and `about`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.asked_about = 0
        self.about: Any = ABOUT
        self.about_status = 200
        self.port = 0

        async def png(request: web.Request) -> web.StreamResponse:
            return web.Response(body=PNG, content_type="image/png", headers={"Sketchwire-Engine": "fake@01234567"})

        self.post: Answer = png

    async def on_post(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        return await self.post(request)

    async def on_about(self, request: web.Request) -> web.StreamResponse:
        self.asked_about += 1
        return web.json_response(self.about, status=self.about_status)

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Serve, on the port of the last time."""
        app = web.Application()
        app.router.add_post("/v1/reconstruct", self.on_post)
        app.router.add_get("/v1/capabilities", self.on_about)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    stub = Stub()
    async with stub.up():
        yield stub


@pytest.fixture
async def client(stub: Stub) -> AsyncIterator[RuntimeClient]:
    async with RuntimeClient(f"http://127.0.0.1:{stub.port}/") as client:
        yield client


def answering(status: int, body: bytes = b"", **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return answer


async def ask(client: RuntimeClient, /, deadline_s: float = PATIENCE_S, **more: Any) -> Reconstructed:
    return await client.reconstruct(b"bundle", more.pop("prompt", None), "image/png", deadline_s, **more)


async def test_what_is_asked(stub: Stub, client: RuntimeClient) -> None:
    await ask(client, deadline_s=2.0, prompt="Katze \N{CAT FACE}, 100 %\n", quality=77, client="anna")
    [request] = stub.requests
    assert stub.bodies == [b"bundle"] and request.path == "/v1/reconstruct"
    assert request.headers["Content-Type"] == MEDIA_TYPE and request.headers["Accept"] == "image/png"
    assert unquote(request.headers["Sketchwire-Prompt"]) == "Katze \N{CAT FACE}, 100 %\n"
    assert request.headers["Sketchwire-Quality"] == "77"
    assert (request.headers["Sketchwire-Share"], request.headers["Sketchwire-Client"]) == ("no", "anna")
    assert 1000 < int(request.headers["Sketchwire-Deadline-Ms"]) <= 2000
    assert "Cookie" not in request.headers and "Accept-Encoding" not in request.headers


@pytest.mark.parametrize(
    ("more", "share"),
    [({}, None), ({"prompt": "words"}, "no"), ({"client": "anna"}, "no"), ({"prompt": ""}, None)],
    ids=str,
)
async def test_words_are_never_shared(
    stub: Stub, client: RuntimeClient, more: dict[str, Any], share: str | None
) -> None:
    await ask(client, **more)
    assert stub.requests[0].headers.get("Sketchwire-Share") == share


async def test_what_is_answered(stub: Stub, client: RuntimeClient) -> None:
    stub.post = answering(
        200,
        PNG,
        Content_Type="image/png",
        Sketchwire_Engine="preview@76543210",
        Sketchwire_Cache="hit",
        Sketchwire_Queue_Ms="1.5",
        Sketchwire_Reconstruct_Ms="20",
        Sketchwire_Fallback="engine-failed",
    )
    assert await ask(client) == Reconstructed(PNG, "image/png", "preview@76543210", True, 1.5, 20.0, "engine-failed")


async def test_headers_that_make_no_sense_are_zero(stub: Stub, client: RuntimeClient) -> None:
    stub.post = answering(200, PNG, Content_Type="image/png", Sketchwire_Queue_Ms="nan", Sketchwire_Reconstruct_Ms="-3")
    assert await ask(client) == Reconstructed(PNG, "image/png", "unknown", False, 0.0, 0.0, None)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RuntimeRefused),
        (406, RuntimeRefused),
        (413, RuntimeRefused),
        (415, RuntimeRefused),
        (422, RuntimeRefused),
        (503, RuntimeBusy),
        (504, RuntimeTimeout),
        (500, RuntimeUnavailable),
        (502, RuntimeUnavailable),
        (404, RuntimeUnavailable),
        (302, RuntimeUnavailable),
        (204, RuntimeUnavailable),
    ],
)
async def test_every_status_has_its_exception(
    stub: Stub, client: RuntimeClient, status: int, kind: type[ReconstructionError]
) -> None:
    stub.post = answering(status, b"" if status == 204 else b'{"error": "so it is"}', Location="http://127.0.0.1:9/")
    with pytest.raises(ReconstructionError) as caught:
        await ask(client)
    assert type(caught.value) is kind and str(status) in str(caught.value)
    assert status == 204 or "so it is" in str(caught.value)
    assert len(stub.requests) == 1
    if isinstance(caught.value, RuntimeRefused):
        assert caught.value.status == status


async def test_busy_says_when_to_come_back(stub: Stub, client: RuntimeClient) -> None:
    stub.post = answering(503, b"not even JSON", Retry_After="7")
    with pytest.raises(RuntimeBusy) as caught:
        await ask(client)
    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize(
    ("body", "media_type"),
    [(PNG, "text/html"), (PNG, "image/webp"), (b"<html>", "image/png"), (b"", "image/png")],
    ids=["html", "other type", "no image", "empty"],
)
async def test_what_is_no_image_of_the_type_is_unavailable(
    stub: Stub, client: RuntimeClient, body: bytes, media_type: str
) -> None:
    stub.post = answering(200, body, Content_Type=media_type)
    with pytest.raises(RuntimeUnavailable, match="image/png asked for"):
        await ask(client)


@pytest.mark.parametrize("told", [True, False], ids=["told length", "chunked"])
async def test_an_endless_image_is_cut(stub: Stub, told: bool) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "image/png"})
        if told:
            response.content_length = 10**12
        await response.prepare(request)
        while True:
            await response.write(PNG * 1000)

    stub.post = endless
    async with RuntimeClient(f"http://127.0.0.1:{stub.port}", max_image_bytes=100_000) as client:
        with pytest.raises(RuntimeUnavailable, match="bytes"):
            await ask(client)


async def test_an_image_cut_short_is_unavailable(stub: Stub, client: RuntimeClient) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "image/png", "Content-Length": "1000"})
        await response.prepare(request)
        await response.write(PNG)
        assert request.transport is not None
        request.transport.close()
        return response

    stub.post = cut
    with pytest.raises(RuntimeUnavailable):
        await ask(client)
    assert len(stub.requests) == 1


@pytest.mark.parametrize("when", ["before the head", "in the body"])
async def test_the_deadline_holds_for_everything(stub: Stub, client: RuntimeClient, when: str) -> None:
    never = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "image/png"})
        if when == "in the body":
            await response.prepare(request)
            await response.write(PNG)
        await never.wait()
        return response

    stub.post = slow
    with pytest.raises(RuntimeTimeout, match=r"0\.05 s"):
        await ask(client, deadline_s=0.05)


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with RuntimeClient(f"http://127.0.0.1:{port}") as client:
        assert await client.capabilities() is None
        with pytest.raises(RuntimeUnavailable, match=r"127\.0\.0\.1"):
            await ask(client)


async def test_nobody_answers_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_client, "CONNECT_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        fillers = []
        for _ in range(4):  # fill the backlog, so that the kernel drops further SYNs
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
            fillers.append(filler)
        async with RuntimeClient(f"http://127.0.0.1:{deaf.getsockname()[1]}") as client:
            with pytest.raises(RuntimeUnavailable, match="no connection within"):
                await ask(client)
        for filler in fillers:
            filler.close()


async def test_a_media_type_nobody_makes_is_the_callers_mistake(client: RuntimeClient) -> None:
    with pytest.raises(ValueError, match="image/avif"):
        await client.reconstruct(b"bundle", None, "image/avif", 1.0)


async def test_the_environments_proxies_are_ignored(
    stub: Stub, client: RuntimeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await ask(client)).body == PNG


class Dropping:
    """A server that answers the first request of each of its first `good` connections, and hangs up on the second."""

    def __init__(self, good: int) -> None:
        self.good, self.connections, self.requests = good, 0, 0

    async def on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        good = self.connections <= self.good
        while await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(len(b"bundle"))
            self.requests += 1
            if not good:
                break
            good = False
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(PNG) + PNG)
        writer.close()


@asynccontextmanager
async def dropping(good: int) -> AsyncIterator[tuple[Dropping, RuntimeClient]]:
    drops = Dropping(good)
    server = await asyncio.start_server(drops.on_connection, "127.0.0.1", 0)
    async with server, RuntimeClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        yield drops, client


async def test_a_kept_connection_that_died_is_tried_once_more() -> None:
    async with dropping(good=2) as (drops, client):
        assert [(await ask(client)).body for _ in range(2)] == [PNG, PNG]
        assert (drops.connections, drops.requests) == (2, 3)


async def test_only_once() -> None:
    async with dropping(good=1) as (drops, client):
        await ask(client)
        with pytest.raises(RuntimeUnavailable):
            await ask(client)
        assert (drops.connections, drops.requests) == (2, 3)


async def test_a_new_connection_that_died_is_not_tried_again() -> None:
    async with dropping(good=0) as (drops, client):
        with pytest.raises(RuntimeUnavailable):
            await ask(client)
        assert (drops.connections, drops.requests) == (1, 1)


async def test_capabilities_are_asked_for_once(stub: Stub, client: RuntimeClient) -> None:
    told = await asyncio.gather(*(client.capabilities() for _ in range(5)))
    assert all(item == told[0] for item in told) and stub.asked_about == 1
    assert told[0] is not None
    assert (told[0].label, told[0].modes, told[0].fallback) == ("fake@01234567", ("edges", "thumbnail"), None)


async def test_old_capabilities_serve_while_new_ones_are_fetched(
    stub: Stub, client: RuntimeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await client.capabilities()
    monkeypatch.setattr(runtime_client, "FRESH_S", 0.0)
    stub.about = {**ABOUT, "engine": "better"}
    assert await client.capabilities() == first
    async with asyncio.timeout(PATIENCE_S):
        while (now := await client.capabilities()) == first:
            await asyncio.sleep(0.001)
    assert now is not None and now.engine == "better"


async def test_a_failure_makes_the_next_question_go_through(stub: Stub, client: RuntimeClient) -> None:
    assert await client.capabilities() is not None
    stub.post, stub.about_status = answering(500), 500
    with pytest.raises(RuntimeUnavailable):
        await ask(client)
    assert await client.capabilities() is None and stub.asked_about == 2


async def test_another_engines_answer_makes_the_next_question_go_through(stub: Stub, client: RuntimeClient) -> None:
    assert await client.capabilities() is not None
    stub.about = {**ABOUT, "engine": "better"}
    stub.post = answering(200, PNG, Content_Type="image/png", Sketchwire_Engine="better@01234567")
    await ask(client)
    now = await client.capabilities()
    assert now is not None and now.engine == "better"


async def test_being_busy_is_no_reason_to_ask_again(stub: Stub, client: RuntimeClient) -> None:
    await client.capabilities()
    stub.post = answering(503)
    with pytest.raises(RuntimeBusy):
        await ask(client)
    await client.capabilities()
    assert stub.asked_about == 1


@pytest.mark.parametrize(
    "about",
    [
        [],
        {},
        {**ABOUT, "engine": "a b; c"},
        {**ABOUT, "fingerprint": "xyz"},
        {**ABOUT, "modes": "thumbnail"},
        {**ABOUT, "modes": [1]},
        {**ABOUT, "version": "x" * 100_000},
    ],
    ids=lambda about: str(about)[:80],
)
async def test_capabilities_that_make_no_sense_are_none(stub: Stub, client: RuntimeClient, about: Any) -> None:
    stub.about = about
    assert await client.capabilities() is None


async def test_a_runtime_that_comes_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub()
    async with stub.up():
        pass
    async with RuntimeClient(f"http://127.0.0.1:{stub.port}") as client:
        assert await client.capabilities() is None
        monkeypatch.setattr(runtime_client, "ABSENT_FRESH_S", 0.0)
        async with stub.up(), asyncio.timeout(PATIENCE_S):
            while await client.capabilities() is None:
                await asyncio.sleep(0.001)
            assert (await ask(client)).body == PNG


async def test_after_closing_everything_is_unavailable(stub: Stub) -> None:
    client = RuntimeClient(f"http://127.0.0.1:{stub.port}")
    await ask(client)
    await client.close()
    with pytest.raises(RuntimeUnavailable):
        await ask(client)


async def test_with_the_real_service(tmp_path: Path) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "WEBP", lossless=True)
    data = pack(Bundle(64, 48, thumbnail=Picture(Coding.WEBP_LOSSLESS, 8, 6, webp.strip(file.getvalue())[0])))
    config = RuntimeConfig(listen_port=0, state_dir=str(tmp_path))
    async with serving(config, PreviewEngine) as (ready, _), RuntimeClient(f"http://127.0.0.1:{ready.port}") as client:
        about = await client.capabilities()
        assert about is not None and about.label == ready.engine
        first = await client.reconstruct(data, None, "image/png", PATIENCE_S)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(first.body))), render(unpack(data)))
        assert (first.engine, first.cache_hit) == (about.label, False)
        assert (await client.reconstruct(data, None, "image/png", PATIENCE_S)).cache_hit
        private = [await client.reconstruct(data, "words", "image/png", PATIENCE_S, client=c) for c in ("a", "a", "b")]
        assert [made.cache_hit for made in private] == [False, True, False]
        with pytest.raises(RuntimeRefused, match="400"):
            await client.reconstruct(b"no bundle", None, "image/png", PATIENCE_S)
