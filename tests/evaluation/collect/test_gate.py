from __future__ import annotations

import aiohttp
import pytest

from evaluation.collect.fetch import Fetched, Fetcher
from evaluation.collect.gate import Gate, Go, Stay
from tests.evaluation.collect.small_web import Host, picture, serving

LISTED = frozenset(("127.0.0.1", "127.0.0.2"))


class Clock:
    """A time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, list[float]()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))


async def test_robots_txt_is_read_once_and_kept() -> None:
    host = Host(robots="User-agent: *\nDisallow: /\n\nUser-agent: SketchwireCollect\nDisallow: /private\n")
    async with serving(host), aiohttp.ClientSession() as session:
        gate = Gate(session, "SketchwireCollect", 0, LISTED)
        assert await gate.admit(f"{host.origin}/photo.jpg") == Go()
        assert await gate.admit(f"{host.origin}/private/photo.jpg") == Stay("robots.txt disallows it")
        stranger = Gate(session, "Other", 0, LISTED)
        assert await stranger.admit(f"{host.origin}/photo.jpg") == Stay("robots.txt disallows it")
    assert [path for path, _ in host.log] == ["/robots.txt"] * 2


async def test_no_robots_txt_allows_and_an_unreachable_one_refuses() -> None:
    host = Host()
    async with aiohttp.ClientSession() as session:
        async with serving(host):
            assert await Gate(session, "n", 0, LISTED).admit(f"{host.origin}/a") == Go()
        gone = await Gate(session, "n", 0, LISTED).admit(f"{host.origin}/a")
    assert isinstance(gone, Stay) and gone.passing and "robots.txt cannot be reached" in gone.why


async def test_a_host_is_asked_at_its_pace_and_others_are_not_kept_waiting() -> None:
    slow, quick = Host(robots="User-agent: *\nCrawl-delay: 5\n"), Host()
    clock = Clock()
    async with serving(slow, quick), aiohttp.ClientSession() as session:
        gate = Gate(session, "n", 2.0, LISTED, clock=lambda: clock.now, sleep=clock.sleep)
        for _ in range(3):
            await gate.admit(f"{slow.origin}/a")
        assert clock.slept == [5, 10]
        clock.slept.clear()
        await gate.admit(f"{quick.origin}/a")
        await gate.admit(f"{slow.origin}/a", paced=False)
        assert clock.slept == []
        await gate.admit(f"{quick.origin}/a")
        clock.now += 60
        await gate.admit(f"{quick.origin}/a")
        assert clock.slept == [2]


@pytest.mark.parametrize("url", ["http://127.0.0.9/", "http://[::1]:80/", "http://10.0.0.1/", "http://localhost/"])
async def test_private_addresses_that_no_list_names(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        assert await Gate(session, "n", 0).admit(url) == Stay("a private address")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://[::1", "http://a.example:99999/", "http://"])
async def test_what_is_no_http_address(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        assert await Gate(session, "n", 0).admit(url) == Stay("not an http address")


async def test_a_get_asks_the_gate_at_every_redirect() -> None:
    first, second = Host(), Host(robots="User-agent: *\nDisallow: /closed\n")
    async with serving(first, second), aiohttp.ClientSession() as session:
        first.add("/open", b"", Location=f"{second.origin}/photo.jpg")
        first.add("/shut", b"", Location=f"{second.origin}/closed/photo.jpg")
        first.add("/private", b"", Location="http://127.0.0.9:1/")
        first.add("/loop", b"", Location="/loop")
        first.add("/odd", b"", Location="//[::1")
        second.add("/photo.jpg", picture(1))
        fetcher = Fetcher(session, Gate(session, "n", 0, LISTED))
        found = await fetcher.get(f"{first.origin}/open", "image/*", 1 << 20)
        assert isinstance(found, Fetched) and found.body == picture(1) and found.url == f"{second.origin}/photo.jpg"
        assert await fetcher.get(f"{first.origin}/shut", "*/*", 1 << 20) == Stay("robots.txt disallows it")
        assert await fetcher.get(f"{first.origin}/private", "*/*", 1 << 20) == Stay("a private address")
        assert await fetcher.get(f"{first.origin}/loop", "*/*", 1 << 20) == Stay("too many redirects")
        assert await fetcher.get(f"{first.origin}/odd", "*/*", 1 << 20) == Stay("redirects to no http address")
        assert await fetcher.get(f"{second.origin}/photo.jpg", "*/*", 100) == Stay("over 100 bytes")
        assert await fetcher.get(f"{second.origin}/none", "*/*", 100) == Stay("answers 404")
    assert second.paths == ["/photo.jpg", "/photo.jpg", "/none"]
