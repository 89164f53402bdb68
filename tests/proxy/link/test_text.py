"""Text on the link: which bodies, what the browser gets, what it weighs, and that nothing waits or breaks."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
from pathlib import Path

import brotli
import pytest
import zstandard

from proxy.link import coding, text
from proxy.link.coding import BadCoding
from proxy.link.heads import Ask
from proxy.link.recoding import FarText, NearText
from proxy.link.text import Leave, Reason, Recode
from tests.proxy.link.ends import Answer, both_ends

PAGE = b"<!DOCTYPE html><html><head><title>A page</title></head><body>" + b"".join(
    b'<p class="entry">Paragraph %d of the article, with words.</p>\n' % n for n in range(400)
)
CODERS = {
    b"": lambda body: body,
    b"gzip": gzip.compress,
    b"br": brotli.compress,
    b"zstd": zstandard.ZstdCompressor().compress,
}


def ask(*headers: tuple[bytes, bytes], method: bytes = b"GET") -> Ask:
    page = (b"sec-fetch-dest", b"document")
    return Ask(method, b"https", b"example.org", b"/", (*headers, page))


def head(**fields: str) -> list[tuple[bytes, bytes]]:
    fields = {"content_type": "text/html; charset=utf-8"} | fields
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]


def answering(body: bytes, *fields: bytes, chunked: bool = False) -> Answer:
    async def answer(line: str, headers: dict[str, str], sent: bytes, writer: asyncio.StreamWriter) -> None:
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
        writer.write(b"\r\n".join([b"HTTP/1.1 200 OK", framing, *fields, b"", b""]))
        writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body)

    return answer


@pytest.mark.parametrize(
    ("request_head", "status", "answer", "reason"),
    [
        ((), 206, head(), Reason.STATUS),
        ((), 304, head(), Reason.STATUS),
        ((), 200, head(content_type="image/png"), Reason.TYPE),
        ((), 200, head(content_type="application/octet-stream"), Reason.TYPE),
        ((), 200, head(content_length="199"), Reason.SMALL),
        ((), 200, head(content_encoding="deflate"), Reason.CODING),
        ((), 200, head(content_encoding="gzip, br"), Reason.CODING),
        ((), 200, head(cache_control="public, no-transform"), Reason.NO_TRANSFORM),
        (((b"cache-control", b"no-transform"),), 200, head(), Reason.NO_TRANSFORM),
        (((b"accept-encoding", b"gzip, identity;q=0"),), 200, head(), Reason.IDENTITY_REFUSED),
        ((), 200, head(content_encoding="gzip", content_digest="sha-256=:x:"), Reason.SIGNED),
    ],
)
def test_what_is_left_alone(
    request_head: tuple[tuple[bytes, bytes], ...], status: int, answer: list[tuple[bytes, bytes]], reason: Reason
) -> None:
    assert text.decide(ask(*request_head), status, answer) == Leave(reason)


def test_a_strong_tag_that_a_script_may_send_back_stays() -> None:
    script = Ask(b"GET", b"https", b"example.org", b"/", ((b"sec-fetch-dest", b"empty"),))
    answer = head(content_type="application/json", content_encoding="gzip", etag='"1"')
    assert text.decide(script, 200, answer) == Leave(Reason.SCRIPT_COMPARES)
    assert text.decide(ask(), 200, answer) == Recode(b"gzip", None)
    assert text.decide(ask(method=b"HEAD"), 200, answer) == Leave(Reason.STATUS)


@pytest.mark.parametrize("accepted", [b"gzip, identity;q=0.5", b"*;q=0.1", b"gzip;q=0, identity", b""])
def test_plain_bytes_are_taken(accepted: bytes) -> None:
    assert isinstance(text.decide(ask((b"accept-encoding", accepted)), 200, head()), Recode)


@pytest.mark.parametrize("name", CODERS)
@pytest.mark.parametrize("dictionary", [True, False])
def test_pieces_of_any_size(name: bytes, dictionary: bool) -> None:
    body = CODERS[name](PAGE)
    far = FarText(Recode(name, None), dictionary)
    sent = b""
    for at in range(0, len(body), 7):
        sent += b"".join(far.send(plain) for plain in far.plain(body[at : at + 7]))
        sent += far.flush() if at % 70 == 0 else b""
    sent += far.finish()
    near = NearText(text.Restored(dictionary, bool(name), None))
    got = b""
    for at in range(0, len(sent), 11):
        near.came(sent[at : at + 11])
        while near.waits:
            got += near.step()[0]
    assert got == PAGE and near.origin_bytes() == len(body)


@pytest.mark.parametrize("cut", [1, 6, 7, 40])
def test_what_breaks_off_is_never_whole(cut: int) -> None:
    far = FarText(Recode(b"", None), True)
    sent = b"".join(map(far.send, far.plain(PAGE))) + far.finish()
    near = NearText(text.Restored(True, False, None))
    near.came(sent[:-cut])
    while near.waits:
        near.step()
    with pytest.raises(BadCoding):
        near.origin_bytes()


def test_a_bomb_is_read_step_by_step() -> None:
    bomb = CODERS[b"gzip"](bytes(50_000_000))
    assert max(map(len, coding.decoded(b"gzip").steps(bomb))) < 5_000_000
    far = FarText(Recode(b"gzip", len(bomb)), True)
    sent = b"".join(far.send(plain) for plain in far.plain(bomb)) + far.finish()
    near = NearText(text.Restored(True, True, len(bomb)))
    near.came(sent)
    sizes = []
    while near.waits:
        sizes.append(len(near.step()[0]))
    assert sum(sizes) == 50_000_000 and max(sizes) <= 20_000_000


@pytest.mark.parametrize("name", CODERS)
@pytest.mark.parametrize("chunked", [True, False])
async def test_the_browser_gets_the_decoded_bytes(tmp_path: Path, name: bytes, chunked: bool) -> None:
    body = CODERS[name](PAGE)
    fields = [b"Content-Type: text/html", b'ETag: "1"', b"Vary: Accept-Encoding", b"Sketchwire-X: 1", b"~z: 1"]
    fields += [b"Content-Encoding: " + name] if name else []
    async with both_ends(tmp_path, answering(body, *fields, chunked=chunked)) as ends:
        for n in range(2):  # the second time only its digest crosses
            wire = ends.near.dialer.current
            before = wire.raw_in_bytes if wire else 0
            got_head, got = await ends.get("https://example.org/x", "Sec-Fetch-Dest: document")
            assert got == PAGE and b"content-encoding" not in got_head.lower() and b"\r\n~" not in got_head
            assert (b'W/"1"' if name else b'"1"') in got_head and b"Accept-Encoding" in got_head
            assert name or (b'W/"1"' not in got_head)
            wire = ends.near.dialer.current
            assert wire is not None and (n == 0 or wire.raw_in_bytes - before < 400)
            number = re.search(rb";id=(\d+)", got_head)
            assert number is not None
            tally = ends.near.tally(number[1].decode())
            assert tally is not None and tally.origin_bytes == len(body)
            assert tally.down_bytes < 0.2 * len(PAGE)


async def test_random_mislabelled_and_small_bodies_cross_as_they_are(tmp_path: Path) -> None:
    for n, (body, field) in enumerate(
        [(os.urandom(5_000), b"X: y"), (PAGE, b"Content-Encoding: gzip"), (b"x" * 150, b"X: y")]
    ):
        async with both_ends(tmp_path / str(n), answering(body, b"Content-Type: text/plain", field)) as ends:
            got_head, got = await ends.get("https://example.org/x")
            assert got == body and b";origin=" not in got_head
            assert field.lower() in got_head.lower()


async def test_events_arrive_as_they_are_sent(tmp_path: Path) -> None:
    heard = asyncio.Event()

    async def answer(line: str, headers: dict[str, str], sent: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for n in range(3):
            writer.write(b"9\r\ndata: %d\n\n\r\n" % n)
            await asyncio.wait_for(heard.wait(), 10)
            heard.clear()
        writer.write(b"0\r\n\r\n")

    async with both_ends(tmp_path, answer) as ends:
        reader, writer = await asyncio.open_connection("127.0.0.1", ends.near.ports[0])
        writer.write(b"GET http://example.org/events HTTP/1.1\r\nHost: example.org\r\n\r\n")
        for n in range(3):
            assert await asyncio.wait_for(reader.readuntil(b"data: %d\n\n" % n), 10)
            heard.set()
        assert (await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 10)).endswith(b"0\r\n\r\n")
        writer.close()


async def test_a_coding_that_goes_wrong_later_breaks_the_answer(tmp_path: Path) -> None:
    body = bytearray(gzip.compress(os.urandom(300_000).hex().encode()))
    body[-8:-4] = bytes(4)  # its checksum
    async with both_ends(
        tmp_path, answering(bytes(body), b"Content-Type: text/css", b"Content-Encoding: gzip")
    ) as ends:
        with pytest.raises((asyncio.IncompleteReadError, ValueError)):
            await asyncio.wait_for(ends.get("https://example.org/x"), 20)


async def test_another_dictionary_means_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = (b"Content-Type: text/html",)
    async with both_ends(tmp_path, answering(PAGE, *fields)) as ends:
        monkeypatch.setattr("proxy.link.exchange.dictionary_id", lambda: 5)
        assert (await ends.get("https://example.org/x"))[1] == PAGE
    monkeypatch.setattr("proxy.link.wire.dictionary_id", lambda: 0)  # an end that knows nothing of text
    async with both_ends(tmp_path, answering(PAGE, *fields)) as ends:
        got_head, got = await ends.get("https://example.org/x")
        assert got == PAGE and b";origin=" not in got_head


async def test_a_slow_reader_holds_a_bomb_up(tmp_path: Path) -> None:
    body = gzip.compress(bytes(64_000_000), 9)
    async with both_ends(
        tmp_path, answering(body, b"Content-Type: text/plain", b"Content-Encoding: gzip"), repeat_bytes=0
    ) as ends:
        reader, writer = await asyncio.open_connection("127.0.0.1", ends.near.ports[0], limit=1024)
        writer.write(b"GET http://example.org/x HTTP/1.1\r\nHost: example.org\r\nAccept: text/html\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        size = 0
        async with asyncio.timeout(60):
            while length := int(await reader.readline(), 16):
                size += len(await reader.readexactly(length))
                await reader.readline()
        assert size == 64_000_000
        writer.close()
