"""A running pair takes a changed configuration over, keeps the old one when the new is bad, and gives up the silent."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from proxy.access.pairing import rotate
from tests.attacks.proxies import Process, start
from tests.e2e.certificates import make_authority
from tests.e2e.origin import BIG_BYTES
from tests.e2e.own_pages import SITE, OwnPages, running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPages]:
    with running(tmp_path_factory.mktemp("reload")) as pages:
        yield pages


async def hang_up(process: Process, said: str) -> None:
    """Send SIGHUP and wait until the log says so."""
    seen = process.log.read_text().count(said)
    process.popen.send_signal(signal.SIGHUP)
    await until(lambda: process.log.read_text().count(said) > seen)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


async def fetch(pages: OwnPages, path: str = "/pages/1") -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(pages.site + path, proxy=pages.downstream.url) as answer,
    ):
        await answer.read()
        return answer.status


def changed(process: Process, old: str, new: str) -> None:
    text = process.config.read_text()
    assert old in text
    process.config.write_text(text.replace(old, new))


async def test_tokens_are_rotated_without_a_gap(pages: OwnPages) -> None:
    """Both machines have a copy of the file; here upstream's is changed first, then downstream's."""
    tokens, theirs = pages.folder / "pair.tokens", pages.folder / "downstream.tokens"
    theirs.write_bytes(tokens.read_bytes())
    theirs.chmod(0o600)
    changed(pages.downstream, str(tokens), str(theirs))
    await hang_up(pages.downstream, "configuration read again: [access] pair_file")
    assert await fetch(pages) == 200
    rotate(tokens)
    await hang_up(pages.upstream, "its files were read again")
    assert await fetch(pages) == 200, "the old token still counts"
    rotate(tokens)
    await hang_up(pages.upstream, "its files were read again")
    assert await fetch(pages) == 407, "two rotations later it does not"
    theirs.write_bytes(tokens.read_bytes())
    await hang_up(pages.downstream, "its files were read again")
    assert await fetch(pages) == 200
    for process in (pages.upstream, pages.downstream):
        assert not any(line in process.log.read_text() for line in tokens.read_text().splitlines()[1:])


async def test_flows_outlive_a_reload_and_a_bad_file_changes_nothing(pages: OwnPages) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(pages.site + "/big.bin", proxy=pages.downstream.url) as answer:
            await answer.content.readexactly(100_000)
            await hang_up(pages.upstream, "configuration read again")
            await hang_up(pages.downstream, "configuration read again")
            rest = await answer.content.read()
        assert len(rest) == BIG_BYTES - 100_000
    good = pages.upstream.config.read_text()
    missing = good.replace("pair.tokens", "nothing.tokens")
    for bad in ("nonsense", good.replace("hosts", "hots"), good + 'ports = ["x"]\n', missing):
        pages.upstream.config.write_text(bad)
        await hang_up(pages.upstream, "the configuration stays as it was")
        assert await fetch(pages) == 200
    pages.upstream.config.write_text(good.replace("listen_port = 0", 'listen_port = 0\nlisten_host = "0.0.0.0"'))
    await hang_up(pages.upstream, "these take a restart: [upstream] listen_host")
    pages.upstream.config.write_text(good.replace(f'"{SITE}:{pages.http_port}", ', ""))
    await hang_up(pages.upstream, "configuration read again: [upstream] allow_private_targets")
    assert await fetch(pages) in (403, 502), "the target is no longer allowed"
    pages.upstream.config.write_text(good)
    await hang_up(pages.upstream, "configuration read again")
    assert await fetch(pages) == 200


@pytest.mark.parametrize("kind", ["silent", "deaf"])
async def test_an_upstream_that_hangs_is_given_up_with_a_page(tmp_path: Path, kind: str) -> None:
    """Silent: it accepts and never answers. Deaf: it does not even accept (its queue is full)."""
    with socket.socket() as hanging:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen(16 if kind == "silent" else 0)
        port = hanging.getsockname()[1]
        fill = [socket.socket() for _ in range(0 if kind == "silent" else 4)]
        for each in fill:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        limits = {"connect_deadline_s": 1.0, "answer_deadline_s": 2.0}
        settings = {"upstream": f"http://127.0.0.1:{port}", "runtime": "", "upstream_ca": str(_any_ca(tmp_path))}
        downstream = await asyncio.to_thread(start, "downstream", tmp_path, downstream=settings, access=limits)
        try:
            began = time.monotonic()
            async with (
                aiohttp.ClientSession() as session,
                session.get("http://site.test/", proxy=downstream.url) as answer,
            ):
                assert answer.status == 504 and b"504 Gateway Timeout" in await answer.read()
            assert time.monotonic() - began < 8
            began = time.monotonic()
            with pytest.raises(aiohttp.ClientError):
                await _tunnelled(downstream.url)
            assert time.monotonic() - began < 8
        finally:
            for each in fill:
                each.close()
            await asyncio.to_thread(downstream.stop)


async def _tunnelled(proxy: str) -> None:
    """A connection that is left alone, to a host that upstream never connects to."""
    async with aiohttp.ClientSession() as session, session.get("https://www.paypal.com/", proxy=proxy, ssl=False):
        pass


def _any_ca(folder: Path) -> Path:
    file = folder / "any-ca.pem"
    make_authority(file)
    return file
