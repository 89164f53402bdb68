"""The cache that runtimes share, on a real Redis: who gets what, who waits, and what happens when the server dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from client_runtime.service.cache import Entry, key_of
from proxy.bundle import unpack
from proxy.config import DownstreamConfig
from proxy.restore import Restored, Restorer
from proxy.runtime_client import RuntimeClient

pytest.importorskip("redis", reason="Redis' client is in the extra `scale`")
from client_runtime.shared.store import AWAY_S, PREFIX, SharedStore, SharedUnusable
from tests.redis_server import PATIENCE_S, RedisServer, needs_server

pytestmark = needs_server
ENTRY = Entry(b"\x89PNG a picture", "image/png", "fake@01234567")
KEY = key_of(b"bundle", None, "fake@0123456789abcdef", "image/png", 88, None)


Serve = Callable[..., Awaitable[SimpleNamespace]]


@pytest.fixture
async def two(
    serve: Serve, new_engine: Any, redis_server: RedisServer, tmp_path: Path
) -> AsyncIterator[list[SimpleNamespace]]:
    """Two runtimes on "machines" of their own, with one Redis."""
    folders = (tmp_path / "one", tmp_path / "two")
    yield [await serve(new_engine(), state_dir=str(folder), shared_cache=redis_server.url) for folder in folders]


async def test_without_words_one_subscribers_picture_is_anothers_hit(
    two: list[SimpleNamespace], redis_server: RedisServer, bundle: Callable[..., bytes]
) -> None:
    anna, bert = await subscribers(two)
    first = await anna.restore(bundle(seed=5), "these words are not used", "image/png", "image/png", "anna")
    second = await bert.restore(bundle(seed=5), None, "image/png", "image/png", "bert")
    assert isinstance(first, Restored) and isinstance(second, Restored)
    assert (first.cache_hit, second.cache_hit) == (False, True) and first.body == second.body
    assert len(redis_server.entries()) == 1
    assert [len(runtime.engine.batches) for runtime in two] == [1, 0]


@pytest.mark.parametrize("where", ["page", "bundle"])
async def test_with_words_it_never_is(
    two: list[SimpleNamespace], redis_server: RedisServer, where: str, page_bundle: bytes, bundle: Callable[..., bytes]
) -> None:
    data = page_bundle if where == "page" else bundle(seed=5, text="a cup of coffee")
    words = "a cup of coffee"
    anna, bert = await subscribers(two)
    assert unpack(data).prompt is not None
    for who, name, hit in ((anna, "anna", False), (bert, "bert", False), (anna, "anna", True), (anna, "carl", False)):
        made = await who.restore(data, words, "image/png", "image/png", name)
        assert isinstance(made, Restored) and not made.degraded
        assert made.cache_hit is hit, name
    assert redis_server.entries() == []


async def test_not_even_when_a_caller_calls_words_shareable(
    two: list[SimpleNamespace], redis_server: RedisServer, bundle: Callable[..., bytes]
) -> None:
    headers = {"Accept": "image/png", "Sketchwire-Prompt": "coffee", "Sketchwire-Share": "yes"}
    for runtime in two:
        async with runtime.session.post("/v1/reconstruct", data=bundle(), headers=headers) as answer:
            assert (answer.status, answer.headers["Sketchwire-Cache"]) == (200, "miss")
        async with runtime.session.post("/v1/reconstruct", data=bundle(text="tea")) as answer:
            assert (answer.status, answer.headers["Sketchwire-Cache"]) == (200, "miss")
    assert redis_server.entries() == []


async def test_of_many_who_want_the_same_picture_one_draws(
    two: list[SimpleNamespace], bundle: Callable[..., bytes]
) -> None:
    async def ask(runtime: SimpleNamespace) -> str:
        async with runtime.session.post("/v1/reconstruct", data=bundle(), headers={"Accept": "image/png"}) as answer:
            assert answer.status == 200
            return str(answer.headers["Sketchwire-Cache"])

    for runtime in two:
        runtime.engine.gate.clear()
    asked = [asyncio.create_task(ask(runtime)) for runtime in two * 3]
    drawing = [asyncio.create_task(asyncio.to_thread(runtime.engine.entered.acquire, True, 5.0)) for runtime in two]
    await asyncio.wait(drawing, return_when=asyncio.FIRST_COMPLETED)
    for runtime in two:
        runtime.engine.gate.set()
    answers = await asyncio.gather(*asked)
    assert sorted(answers) == ["hit"] * 5 + ["miss"]
    for runtime in two:
        runtime.engine.entered.release()
    await asyncio.gather(*drawing)
    assert sum(len(runtime.engine.batches) for runtime in two) == 1


async def test_when_the_server_dies_the_local_disk_goes_on(
    two: list[SimpleNamespace], redis_server: RedisServer, bundle: Callable[..., bytes]
) -> None:
    async def ask(runtime: SimpleNamespace, seed: int) -> tuple[int, str]:
        headers = {"Accept": "image/png"}
        async with runtime.session.post("/v1/reconstruct", data=bundle(seed=seed), headers=headers) as answer:
            await answer.read()
            return answer.status, answer.headers["Sketchwire-Cache"]

    one, other = two
    assert await ask(one, 1) == (200, "miss")
    redis_server.kill()
    assert await ask(one, 1) == (200, "hit")
    assert await ask(one, 2) == (200, "miss")
    assert await ask(one, 2) == (200, "hit")
    assert await ask(other, 1) == (200, "miss")
    async with other.session.get("/healthz") as answer:
        told = await answer.json()
        assert told["shared_cache"]["up"] is False and told["shared_cache"]["errors"] >= 1


def test_the_server_is_asked_again_after_a_while(redis_server: RedisServer) -> None:
    now_s = [0.0]
    store = SharedStore(redis_server.url, 60, 2**20, 5.0, clock=lambda: now_s[0])
    store.put(KEY, ENTRY)
    assert store.get(KEY) == ENTRY
    redis_server.kill()
    assert store.get(KEY) is None and not store.state.up
    redis_server.start()
    store.put(KEY, ENTRY)
    assert redis_server.entries() == []  # nobody asks within AWAY_S
    now_s[0] += AWAY_S
    store.put(KEY, ENTRY)
    assert store.get(KEY) == ENTRY and store.state.up
    store.close()


def test_entries_expire_have_a_limit_and_are_checked(redis_server: RedisServer) -> None:
    store = SharedStore(redis_server.url, 60, 1000, 5.0)
    store.put(KEY, ENTRY)
    assert 0 < redis_server.client.ttl(PREFIX + KEY) <= 60
    store.put("0" * 64, Entry(b"x" * 1000, "image/png", "fake@01234567"))
    assert len(redis_server.entries()) == 1 and store.state.too_large == 1
    other = "1" * 64
    redis_server.client.rename(PREFIX + KEY, PREFIX + other)  # whole, but another picture's
    assert store.get(other) is None and redis_server.entries() == [] and store.state.damaged == 1
    for junk in (b"", b"SWC1", b"\x00" * 400):
        redis_server.client.set(PREFIX + KEY, junk)
        assert store.get(KEY) is None and redis_server.entries() == []
    store.close()


def test_a_lock_has_one_owner_and_an_end(redis_server: RedisServer) -> None:
    one, other = (SharedStore(redis_server.url, 60, 1000, 0.3) for _ in range(2))
    lease = one.lock(KEY)
    assert lease is not None and other.lock(KEY) is None
    lease.release()
    second = other.lock(KEY)
    assert second is not None
    lease.release()  # a second time, and no longer its owner: nothing happens
    assert one.lock(KEY) is None
    until_s = time.monotonic() + PATIENCE_S
    while (third := one.lock(KEY)) is None and time.monotonic() < until_s:
        time.sleep(0.05)  # the server's own clock ends it
    assert third is not None
    second.release()
    assert other.lock(KEY) is None
    one.close()
    other.close()


def test_a_url_that_makes_no_sense_is_named() -> None:
    with pytest.raises(SharedUnusable, match="redis://"):
        SharedStore("http://nowhere", 60, 1000, 5.0)


@pytest.fixture
def page_bundle(bundle: Callable[..., bytes]) -> bytes:
    """One whose prompt is the page's own words, at no bytes."""
    from dataclasses import replace

    from proxy.bundle import Prompt, pack

    return pack(replace(unpack(bundle(seed=5)), prompt=Prompt(None)))


async def subscribers(runtimes: list[SimpleNamespace]) -> list[Restorer]:
    """One downstream proxy at each runtime."""
    config = DownstreamConfig(reconstruct_deadline_s=PATIENCE_S)
    return [Restorer(config, RuntimeClient(runtime.url)) for runtime in runtimes]
