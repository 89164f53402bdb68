"""The encoder's results on a real Redis: what is shared and what never, who waits, and what happens when it dies."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.bundle import MEDIA_TYPE
from proxy.config import UpstreamConfig
from proxy.encode import Declined, Encoded, EncodeRequest
from proxy.headers import Headers
from proxy.negotiation import Accept
from proxy.policy import Reason, ResponseFacts
from proxy.transform import Transformer, Words
from tests.e2e.origin import photo

pytest.importorskip("redis", reason="Redis' client is in the extra `scale`")
from proxy.encoded_shared import PREFIX, SharedEncodedCache, parse, serialise
from proxy.shared.store import AWAY_S, ByteStore, SharedUnusable
from tests.redis_server import RedisServer, needs_server

MADE = Encoded(b"a bundle", MEDIA_TYPE, "thumbnail", 30, 20, "photo", 0.9)
REQUEST = EncodeRequest(b"an image")


def cache(
    url: str, wait_s: float = 5.0, ttl_s: int = 60, entry_bytes: int = 10_000, **more: float
) -> SharedEncodedCache:
    lock_s = more.pop("lock_s", 10.0)
    return SharedEncodedCache(ByteStore(url, PREFIX, ttl_s, entry_bytes, lock_s), wait_s)


async def put(where: SharedEncodedCache, key: bytes, result: Encoded | Declined, lasting: bool = True) -> None:
    where.put(key, result, lasting)
    await asyncio.gather(*where._writing)


@needs_server
@pytest.mark.parametrize("result", [MADE, Declined(Reason.NO_GAIN, "too good", "photo")])
async def test_what_one_proxy_made_another_finds(redis_server: RedisServer, result: Encoded | Declined) -> None:
    one, two = cache(redis_server.url), cache(redis_server.url)
    key = one.key(REQUEST, "sketch@01234567")
    assert key == two.key(REQUEST, "sketch@01234567") != two.key(REQUEST, "sketch@76543210")
    assert await one.find(key) is None
    await put(one, key, result)
    assert await two.find(key) == result == two.get(key), "and keeps it here"
    assert redis_server.client.ttl(redis_server.entries()[0]) in range(50, 61)
    assert two.shared.state.hits == 1 and redis_server.client.keys("*:lock:*") == []
    await one.close()
    await two.close()


@needs_server
@pytest.mark.parametrize(
    ("request_", "result", "lasting"),
    [
        (replace(REQUEST, words="of a page"), MADE, True),
        (replace(REQUEST, words=""), MADE, True),
        (REQUEST, MADE, False),
        (REQUEST, Declined(Reason.DEADLINE), True),
        (REQUEST, replace(MADE, body=b"x" * 10_001), True),
    ],
)
async def test_what_never_leaves(
    redis_server: RedisServer, request_: EncodeRequest, result: Encoded | Declined, lasting: bool
) -> None:
    one, two = cache(redis_server.url), cache(redis_server.url)
    key = one.key(request_)
    assert await one.find(key) is None
    await put(one, key, result, lasting)
    assert redis_server.client.keys("*") == [], "no entry, and no lock that is left behind"
    assert await two.find(key) is None
    await one.close()
    await two.close()


async def test_keys_with_words_are_never_taken_for_shareable_ones() -> None:
    here = SharedEncodedCache(ByteStore("unix:///nowhere.sock", PREFIX, 1, 1, 1.0), 0.0)
    lengths = {len(here.key(replace(REQUEST, data=str(n).encode(), words="w"))) for n in range(600)}
    assert lengths == {24} and len(here.key(REQUEST)) == 25
    assert any(here.key(replace(REQUEST, data=str(n).encode(), words="w")).endswith(b"\x01") for n in range(3000))


class Counting:
    """An encoder that takes its time."""

    def __init__(self, takes_s: float = 0.3) -> None:
        self.takes_s, self.encoded = takes_s, 0

    async def encode(self, request: EncodeRequest) -> Encoded | Declined:
        self.encoded += 1
        await asyncio.sleep(self.takes_s)
        return MADE


def origin(*fields: tuple[str, str]) -> ResponseFacts:
    return ResponseFacts(200, Headers((("Content-Type", "image/jpeg"), *fields)))


ACCEPT = Accept("sketch@01234567", "0" * 16)


@needs_server
async def test_two_proxies_encode_a_wanted_image_once(redis_server: RedisServer) -> None:
    encoder = Counting()
    proxies = [Transformer(UpstreamConfig(), encoder, cache(redis_server.url)) for _ in range(2)]
    reader = Accept("diffusion@01234567", ACCEPT.nonce)
    work = [proxy.transform(origin(), photo(), ACCEPT, Words()) for proxy in proxies for _ in range(4)]
    outcomes = await asyncio.gather(*work)
    assert [o.encoded.body for o in outcomes if o.encoded] == [MADE.body] * 8 and encoder.encoded == 1
    worded = [proxy.transform(origin(), photo(), reader, Words("a page")) for proxy in proxies]
    await asyncio.gather(*worded)
    assert encoder.encoded == 3, "each for itself, where words are part of the answer"
    private = [
        proxy.transform(origin(("Cache-Control", "private")), photo("chelsea"), ACCEPT, Words()) for proxy in proxies
    ]
    await asyncio.gather(*private)
    assert encoder.encoded == 5 and len(redis_server.entries()) == 1
    for proxy in proxies:
        await proxy.close()


@needs_server
async def test_nobody_waits_for_a_proxy_that_is_gone(redis_server: RedisServer) -> None:
    gone, here = cache(redis_server.url, lock_s=30.0), cache(redis_server.url, wait_s=0.2)
    key = gone.key(REQUEST)
    assert await gone.find(key) is None  # it has the lock, and never puts
    began_s = time.monotonic()
    assert await here.find(key) is None and time.monotonic() - began_s < 2.0
    await put(here, key, MADE)
    assert redis_server.entries()
    await gone.close()
    await here.close()


@needs_server
async def test_when_the_server_dies_the_local_cache_goes_on(redis_server: RedisServer) -> None:
    here = cache(redis_server.url)
    key, other = here.key(REQUEST), here.key(EncodeRequest(b"another"))
    await put(here, key, MADE)
    redis_server.kill()
    assert await here.find(key) == MADE
    began_s = time.monotonic()
    assert await here.find(other) is None and time.monotonic() - began_s < AWAY_S
    await put(here, other, MADE)
    assert await here.find(other) == MADE and not here.shared.state.up
    await here.close()


@needs_server
async def test_damaged_entries_are_removed(redis_server: RedisServer) -> None:
    one = cache(redis_server.url)
    key = one.key(REQUEST)
    await put(one, key, MADE)
    [name] = redis_server.entries()
    whole = redis_server.client.get(name)
    for damaged in (b"", whole[:-1], whole[:40], b"SWE0" + whole[4:], whole + b"x"):
        redis_server.client.set(name, damaged)
        two = cache(redis_server.url)
        assert await two.find(key) is None and two.shared.state.damaged == 1 and redis_server.entries() == []
        await two.close()
    await one.close()


@given(st.binary(max_size=200))
def test_no_value_is_an_error(data: bytes) -> None:
    assert parse(b"k", data) is None
    whole = serialise(b"k", MADE)
    assert parse(b"k", whole) == MADE and parse(b"other", whole) is None
    for length in range(len(whole)):
        assert parse(b"k", whole[:length]) is None


def test_urls_that_are_none() -> None:
    with pytest.raises(SharedUnusable):
        ByteStore("ftp://x", PREFIX, 1, 1, 1.0)
