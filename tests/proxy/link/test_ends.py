"""Near end and far end together: what arrives, what it weighs, and what happens when somebody leaves."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.link import codes, keys
from proxy.link.dial import LinkDown
from proxy.link.events import Cut, Event
from proxy.link.join import join, replace_key
from proxy.link.near import NearEnd
from proxy.link.pairing import PairingFailed
from proxy.link.peers import Peers
from proxy.link.schedule import Rank
from proxy.link.secure import client_context
from proxy.link.session import Patience
from tests.proxy.link.ends import Ends, both_ends, plain


@pytest.fixture
async def ends(tmp_path: Path) -> AsyncIterator[Ends]:
    async with both_ends(tmp_path, plain) as started:
        yield started


async def test_requests_arrive_in_absolute_form(ends: Ends) -> None:
    head, body = await ends.get("https://example.org/a?b=c", "Proxy-Connection: keep-alive", "X-Own: 1")
    assert body == b"GET https://example.org/a?b=c HTTP/1.1 0" and b"server" not in head.lower()
    seen = ends.upstream.heads[0]
    assert seen["Host"] == "example.org" and seen["X-Own"] == "1" and "Proxy-Connection" not in seen


async def test_the_field_names_the_target_of_an_origin_form(ends: Ends) -> None:
    request = b"GET /x HTTP/1.1\r\nHost: example.org\r\nSketchwire-Link-To: https://example.org:443;c=00ff\r\n\r\n"
    assert (await ends.ask(request))[1] == b"GET https://example.org/x HTTP/1.1 0"
    assert "Sketchwire-Link-To" not in ends.upstream.heads[0]


async def test_bodies_go_up_with_and_without_a_length(ends: Ends) -> None:
    post = b"POST http://example.org/p HTTP/1.1\r\nHost: example.org\r\n"
    assert (await ends.ask(post + b"Content-Length: 700000\r\n\r\n" + bytes(700_000)))[1].endswith(b" 700000")
    chunks = b"".join(b"2710\r\n" + bytes(10_000) + b"\r\n" for _ in range(20)) + b"0\r\n\r\n"
    assert (await ends.ask(post + b"Transfer-Encoding: chunked\r\n\r\n" + chunks))[1].endswith(b" 200000")


async def test_heads_only(ends: Ends) -> None:
    head, _ = await ends.ask(b"HEAD http://example.org/h HTTP/1.1\r\nHost: example.org\r\n\r\n")
    assert re.search(rb"content-length: \d+", head.lower())


async def test_tunnels_carry_bytes_and_our_fields(ends: Ends) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ends.near.ports[0])
    writer.write(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nSketchwire-Tunnel: 1\r\n\r\nearly")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.write(b" late")
    assert await reader.readexactly(10) == b"EARLY LATE"
    assert ends.upstream.seen == ["CONNECT example.org:443 HTTP/1.1"]
    assert ends.upstream.heads[0]["sketchwire-tunnel"] == "1"
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 5) == b""


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET http:///x HTTP/1.1",
        b"GET /x HTTP/1.1",
        b"CONNECT nowhere HTTP/1.1",
        b"GET ftp://example.org/ HTTP/1.1",
        b"?",
    ],
)
async def test_what_names_no_site_is_refused(ends: Ends, request_line: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ends.near.ports[0])
    writer.write(request_line + b"\r\nHost:\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 400 ")
    assert ends.upstream.seen == []


async def test_accounts_are_the_sockets(ends: Ends) -> None:
    head, _ = await ends.get("https://example.org/first")
    weighed = re.search(rb"Sketchwire-Link-Bytes: up=(\d+);down=(\d+);id=(\d+)", head)
    assert weighed is not None
    for n in range(5):
        await ends.get(f"https://example.org/{n}")
    wire = ends.near.dialer.current
    assert wire is not None
    totals = ends.near.totals()
    assert sum(each.up_bytes for each in totals.values()) == wire.raw_out_bytes
    assert sum(each.down_bytes for each in totals.values()) == wire.raw_in_bytes
    tally = ends.near.tally(weighed[3].decode())
    assert tally is not None and (tally.up_bytes, tally.down_bytes) == (int(weighed[1]), int(weighed[2]))
    far = ends.far.totals()
    assert sum(each.up_bytes for each in far.values()) == wire.raw_out_bytes
    assert sum(each.down_bytes for each in far.values()) == wire.raw_in_bytes


async def test_a_request_to_a_new_host_is_small_and_takes_one_round_trip(ends: Ends) -> None:
    browser = (
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0.0.0",
        "Accept: text/html",
        "Accept-Language: en",
    )
    await ends.get("https://first.example/", *browser)
    wire = ends.near.dialer.current
    assert wire is not None
    before = wire.raw_in_bytes + wire.raw_out_bytes
    await ends.get("https://another.example/", *browser)
    assert wire.raw_in_bytes + wire.raw_out_bytes - before < 300 and wire.session.open_streams == 0


async def test_a_known_body_is_not_sent_again_and_a_changed_one_is(tmp_path: Path) -> None:
    body = [b"a" * 50_000]

    async def answer(line: str, headers: dict[str, str], sent: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b'HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nETag: "1"\r\nContent-Length: 50000\r\n\r\n' + body[0]
        )

    async with both_ends(tmp_path, answer) as ends:
        assert (await ends.get("https://example.org/x"))[1] == body[0]
        wire = ends.near.dialer.current
        assert wire is not None
        before = wire.raw_in_bytes
        assert (await ends.get("https://example.org/x"))[1] == body[0]
        assert wire.raw_in_bytes - before < 200
        body[0] = b"b" * 50_000
        assert (await ends.get("https://example.org/x"))[1] == body[0]
        assert "~h" not in ends.upstream.heads[-1]


async def test_what_nobody_wants_any_more_stops(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    async def endless(line: str, headers: dict[str, str], sent: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                writer.write(bytes(65536))
                await writer.drain()
        except ConnectionError:
            stopped.set()
            raise

    async with both_ends(tmp_path, endless) as ends:
        reader, writer = await asyncio.open_connection("127.0.0.1", ends.near.ports[0])
        writer.write(b"GET http://example.org/endless HTTP/1.1\r\nHost: example.org\r\n\r\n")
        await reader.readexactly(100_000)
        writer.transport.abort()
        await asyncio.wait_for(stopped.wait(), 10)
        assert ends.near.dialer.current is not None, "only the stream was given up"


async def test_a_slow_reader_delays_nobody_and_fills_no_memory(tmp_path: Path) -> None:
    sent = [0]

    async def answer(line: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        if "quick" in line:
            return await plain(line, headers, body, writer)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()
            sent[0] += 65536

    async with both_ends(tmp_path, answer) as ends:
        _, writer = await asyncio.open_connection("127.0.0.1", ends.near.ports[0], limit=1024)
        writer.write(b"GET http://example.org/slow HTTP/1.1\r\nHost: example.org\r\n\r\n")
        last = -1
        while sent[0] != last:
            last = sent[0]
            assert (await asyncio.wait_for(ends.get("http://example.org/quick"), 10))[1]
            await asyncio.sleep(0.1)
        assert last < 24_000_000
        writer.transport.abort()


async def test_a_safe_request_is_sent_once_more_when_the_link_breaks(tmp_path: Path) -> None:
    tries: list[str] = []
    ends: Ends

    async def answer(line: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        tries.append(line)
        if len(tries) == 1:
            wire = ends.near.dialer.current
            assert wire is not None
            wire.abort("cut by the test")
            await asyncio.sleep(0.2)
            return
        await plain(line, headers, body, writer)

    async with both_ends(tmp_path, answer) as ends:
        assert (await asyncio.wait_for(ends.get("https://example.org/again"), 10))[1].startswith(b"GET")
        assert len(tries) == 2
        tries.clear()
        with pytest.raises(asyncio.IncompleteReadError):
            await asyncio.wait_for(
                ends.ask(b"POST http://example.org/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"), 10
            )
        assert len(tries) == 1, "a POST may have had an effect"


async def test_a_broken_answer_is_not_passed_off_as_whole(tmp_path: Path) -> None:
    async def answer(line: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        framing = (
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"
            if "chunked" in line
            else b"Content-Length: 9\r\n\r\nabcde"
        )
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing)
        await writer.drain()
        raise ConnectionError

    async with both_ends(tmp_path, answer) as ends:
        for name in ("chunked", "length"):
            with pytest.raises((asyncio.IncompleteReadError, ValueError)):
                await asyncio.wait_for(ends.get(f"https://example.org/{name}"), 10)


async def test_tls_is_resumed(ends: Ends) -> None:
    await ends.get("https://example.org/1")
    wire = ends.near.dialer.current
    assert wire is not None and not wire.secured.resumed
    full = wire.meter.totals()["connection"]
    wire.abort("cut by the test")
    await ends.get("https://example.org/2")
    again = ends.near.dialer.current
    assert again is not None and again is not wire and again.secured.resumed
    short = again.meter.totals()["connection"]
    assert short.down_bytes < full.down_bytes, "no certificates"
    assert again.peer == wire.peer


async def test_a_dead_peer_is_noticed(tmp_path: Path) -> None:
    patience = Patience(idle_s=0.2, waiting_s=0.2, pong_s=0.5)
    async with both_ends(tmp_path, plain, patience) as ends:
        await ends.get("https://example.org/1")
        wire = ends.near.dialer.current
        assert wire is not None
        for far in ends.far._wires:
            far.data_received = lambda data: None  # type: ignore[method-assign]
        while wire.is_open:
            await asyncio.sleep(0.1)
        assert (await asyncio.wait_for(ends.get("https://example.org/2"), 10))[1]


async def test_pairing_with_a_code(tmp_path: Path, ends: Ends) -> None:
    code = codes.make(ends.folder / "far", "the school", 60)
    with pytest.raises(PairingFailed):
        await join(tmp_path / "new", "127.0.0.1", ends.far.port, "00000-00000", "x")
    peer = await join(tmp_path / "new", "127.0.0.1", ends.far.port, code.lower().replace("-", " "), "x")
    assert peer.fingerprint == keys.load_or_make(ends.folder / "far").fingerprint
    assert "the school" in {each.name for each in Peers(ends.folder / "far").all().values()}
    with pytest.raises(PairingFailed):
        await join(tmp_path / "other", "127.0.0.1", ends.far.port, code, "x")
    near = NearEnd(tmp_path / "new", "127.0.0.1", ends.far.port, 0, ports=1)
    await near.start()
    async with asyncio.timeout(20):
        while near.dialer.current is None or not near.dialer.current.heard:
            await asyncio.sleep(0.1)
    await near.stop()


async def test_guessing_ends_after_a_few_tries(tmp_path: Path, ends: Ends) -> None:
    code = codes.make(ends.folder / "far", "", 60)
    for _ in range(codes.MAX_TRIES):
        with pytest.raises(PairingFailed):
            await join(tmp_path / "new", "127.0.0.1", ends.far.port, "1111122222", "x")
    with pytest.raises(PairingFailed):
        await join(tmp_path / "new", "127.0.0.1", ends.far.port, code, "x")
    assert len(Peers(ends.folder / "far").all()) == 1


async def test_a_replaced_key_takes_over(ends: Ends) -> None:
    await ends.get("https://example.org/1")
    old = keys.load_or_make(ends.folder / "near").fingerprint
    new = await replace_key(ends.folder / "near", "127.0.0.1", ends.far.port)
    assert set(Peers(ends.folder / "far").all()) == {old, new}
    async with asyncio.timeout(30):
        while old in Peers(ends.folder / "far").all():
            await asyncio.sleep(0.2)
    assert (await ends.get("https://example.org/2"))[1]
    wire = ends.near.dialer.current
    assert wire is not None


async def test_a_key_is_replaced_under_load_and_nothing_breaks(tmp_path: Path) -> None:
    """What is under way ends whole over the old connection, which begins nothing new; then the old key is worthless."""
    go_on = asyncio.Event()

    async def answer(line: str, headers: dict[str, str], sent: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + b"a" * 20_000)
        if "/slow" in line:
            await go_on.wait()
        writer.write(b"b" * 20_000)

    async with both_ends(tmp_path, answer, repeat_bytes=0) as ends:
        place, near = ends.folder / "far", ends.folder / "near"
        slow = asyncio.create_task(ends.get("https://example.org/slow"))
        async with asyncio.timeout(10):
            while not ends.upstream.seen:
                await asyncio.sleep(0.02)
        old_key = keys.load_or_make(shutil.copytree(near, tmp_path / "old"))  # the files are replaced
        old_wire = ends.near.dialer.current
        assert old_wire is not None and old_wire.session.open_streams == 1
        new = await replace_key(near, "127.0.0.1", ends.far.port)
        async with asyncio.timeout(30):
            while old_key.fingerprint in Peers(place).all():
                assert (await ends.get("https://example.org/meanwhile"))[1].endswith(b"b")
                await asyncio.sleep(0.05)
        ends.far._refresh()
        wire = ends.near.dialer.current
        assert wire is not None and wire is not old_wire and list(Peers(place).all()) == [new]
        stream = old_wire.session.request(
            [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"example.org"), (b":path", b"/no")],
            Rank(),
            ended=True,
        )
        cut = asyncio.get_running_loop().create_future()
        old_wire.handlers[stream] = Told(cut)
        old_wire.flush()
        event = await asyncio.wait_for(cut, 10)
        assert isinstance(event, Cut) and event.unprocessed
        go_on.set()
        assert (await asyncio.wait_for(slow, 10))[1] == b"a" * 20_000 + b"b" * 20_000
        async with asyncio.timeout(10):
            while old_wire.is_open:
                await asyncio.sleep(0.05)
        context = client_context(old_key.certificate, old_key.private, [keys.load_or_make(place).pem])
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            reader, writer = await asyncio.open_connection("127.0.0.1", ends.far.port, ssl=context)
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
            assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_who_replaced_its_key_and_is_revoked_then_loses_both_connections(tmp_path: Path) -> None:
    async def answer(line: str, headers: dict[str, str], sent: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"a" if "/slow" in line else b"ab"))

    async with both_ends(tmp_path, answer, repeat_bytes=0) as ends:
        slow = asyncio.create_task(ends.get("https://example.org/slow"))
        async with asyncio.timeout(10):
            while not ends.upstream.seen:
                await asyncio.sleep(0.02)
        old_wire, old = ends.near.dialer.current, keys.load_or_make(ends.folder / "near").fingerprint
        new = await replace_key(ends.folder / "near", "127.0.0.1", ends.far.port)
        async with asyncio.timeout(30):
            while old in Peers(ends.folder / "far").all():
                await ends.get("https://example.org/meanwhile")
                await asyncio.sleep(0.05)
        wire = ends.near.dialer.current
        assert wire is not None and old_wire is not None and old_wire.is_open
        Peers(ends.folder / "far").forget(new[:16])
        async with asyncio.timeout(10):
            while wire.is_open or old_wire.is_open:
                await asyncio.sleep(0.05)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await slow


class Told:
    """A handler that hands its first event on."""

    def __init__(self, future: asyncio.Future[Event]) -> None:
        self._future = future

    def happened(self, event: Event) -> None:
        if not self._future.done():
            self._future.set_result(event)

    def lost(self, why: str) -> None:
        self._future.cancel()


async def test_nobody_to_call(tmp_path: Path) -> None:
    near = NearEnd(tmp_path, "127.0.0.1", 1, 0, ports=1)
    await near.start()
    near.dialer._up_s = -100.0
    with pytest.raises(LinkDown, match="not paired"):
        await near.dialer.connected()
    reader, writer = await asyncio.open_connection("127.0.0.1", near.ports[0])
    writer.write(b"GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n")
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 10) == b""
    await near.stop()


async def test_many_large_bodies_over_connections_that_are_used_again(tmp_path: Path) -> None:
    body = bytes(range(256)) * 3_000

    async def answer(line: str, headers: dict[str, str], sent: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async with both_ends(tmp_path, answer, repeat_bytes=0) as ends:
        for group in range(4):
            urls = [f"https://example.org/{group}/{n}" for n in range(6)]
            answers = await asyncio.wait_for(asyncio.gather(*(ends.get(url) for url in urls)), 30)
            assert all(got == body for _, got in answers)
        assert ends.upstream.connections <= 12


async def test_who_is_revoked_is_turned_away_and_its_requests_fail_soon(ends: Ends) -> None:
    assert (await ends.get("https://example.org/before"))[1]
    wire = ends.near.dialer.current
    assert wire is not None
    Peers(ends.folder / "far").forget("this machine")
    async with asyncio.timeout(10):
        while wire.is_open:
            await asyncio.sleep(0.05)
    for n in range(3):
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await asyncio.wait_for(ends.get(f"https://example.org/{n}"), 20)
    assert len(ends.upstream.seen) == 1
