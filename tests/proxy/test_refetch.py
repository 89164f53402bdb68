from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from proxy.headers import Headers
from proxy.refetch import Refetcher, RefetchError

Serve = Callable[..., Awaitable[str]]


@pytest.fixture
async def upstream() -> AsyncIterator[tuple[str, list[web.BaseRequest], dict[str, web.StreamResponse]]]:
    """A proxy that answers every absolute-form request itself, and keeps what it was asked."""
    asked: list[web.BaseRequest] = []
    answers: dict[str, web.StreamResponse] = {}

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request)
        return answers["next"]

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked, answers
    await runner.cleanup()


async def test_the_original_comes_through_upstream_as_it_is(upstream: tuple) -> None:  # type: ignore[type-arg]
    url, asked, answers = upstream
    answers["next"] = web.Response(
        body=b"coded", headers={"Content-Encoding": "gzip", "Set-Cookie": "a=1", "ETag": '"x"'}
    )
    refetcher = Refetcher(url, None)
    sent = Headers(
        (
            ("cookie", "b=2"),
            ("cookie", "c=3"),
            ("If-None-Match", '"y"'),
            ("Range", "bytes=0-1"),
            ("Sketchwire-Accept", "v=1"),
        )
    )
    got = await refetcher.fetch("http://site.test/a%2Fb?q=%20", sent, 5)
    await refetcher.close()
    assert (got.status, got.body, got.headers.get("etag")) == (200, b"coded", '"x"')
    assert got.headers.get("content-encoding") == "gzip" and got.headers.get("set-cookie") == "a=1"
    (request,) = asked
    assert str(request.url) == "http://site.test/a%2Fb?q=%20", "the address is not rewritten"
    assert request.headers["Sketchwire-Original"] == "1" and request.headers["Cookie"] == "b=2; c=3"
    assert request.headers["Sketchwire-Accept"] == "v=1", "upstream finds the client's spooled original by it"
    assert not {"If-None-Match", "Range", "User-Agent", "Accept", "Accept-Encoding"} & set(request.headers)
    assert got.link_bytes > len(b"coded") + got.headers.size_bytes()


async def test_redirects_are_answers(upstream: tuple) -> None:  # type: ignore[type-arg]
    url, asked, answers = upstream
    answers["next"] = web.Response(status=302, headers={"Location": "http://127.0.0.1/"})
    refetcher = Refetcher(url, None)
    assert (await refetcher.fetch("http://site.test/", Headers(), 5)).status == 302
    await refetcher.close()
    assert len(asked) == 1


async def test_too_large_an_original_is_an_error(upstream: tuple) -> None:  # type: ignore[type-arg]
    url, _, answers = upstream
    answers["next"] = web.Response(body=bytes(2000))
    refetcher = Refetcher(url, None, max_bytes=1000)
    with pytest.raises(RefetchError, match="over 1000 bytes"):
        await refetcher.fetch("http://site.test/", Headers(), 5)
    await refetcher.close()


async def test_a_dead_upstream_is_an_error_and_nothing_else_is_tried() -> None:
    refetcher = Refetcher("http://127.0.0.1:1", None)
    with pytest.raises(RefetchError):
        await refetcher.fetch("http://site.test/", Headers(), 5)
    await refetcher.close()
