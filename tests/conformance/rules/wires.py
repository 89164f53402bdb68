"""Framing, connections, clients of every age, and origins that misbehave."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import time

from tests.conformance.origin import Fields, Request, chunked, raw
from tests.conformance.rule import JPEG, PHOTO, passes, picture, rewritten, rule, saved, shown, untouched
from tests.conformance.stand import ANY, PAGE, Stand

HTML: Fields = (("Content-Type", "text/html; charset=utf-8"),)
TEXT: Fields = (("Content-Type", "text/plain"),)
PAGE_BODY = b"<!doctype html><p>" + b"words " * 3000


@rule("frame-chunked-page", "A chunked page arrives whole", "RFC 9112 7.1")
async def chunked_page(stand: Stand) -> None:
    got = await stand.ask(chunked(HTML, PAGE_BODY, 700), accept=PAGE)
    assert got.answer.body == PAGE_BODY and got.answer.whole


@rule("frame-chunked-image", "A chunked image is shown, with its length", "RFC 9112 7.1")
async def chunked_image(stand: Stand) -> None:
    got = await stand.ask(chunked(JPEG, PHOTO))
    rewritten(got)
    assert got.answer.get("transfer-encoding") is None or got.answer.get("content-length") is None


@rule("frame-chunk-extension", "Extensions of chunks are no part of the body", "RFC 9112 7.1.1")
async def extensions(stand: Stand) -> None:
    coded = b'5;a=b;c="d"\r\nhello\r\n0\r\n\r\n'
    got = await stand.ask(raw(200, (*TEXT, ("Transfer-Encoding", "chunked")), length=False) + coded, accept=ANY)
    assert got.answer.body == b"hello"


@rule("frame-trailers", "Fields behind a chunked body don't harm it", "RFC 9110 6.5.1")
async def trailers(stand: Stand) -> None:
    sent = chunked((*HTML, ("Trailer", "X-Sum")), PAGE_BODY, trailers=(("X-Sum", "1"), ("Server-Timing", "a")))
    got = await stand.ask(sent, accept=PAGE)
    assert got.answer.status == 200 and got.answer.body == PAGE_BODY and got.answer.whole


@rule("frame-trailers-image", "Nor those behind an image", "RFC 9110 6.5.1")
async def trailers_image(stand: Stand) -> None:
    shown(await stand.ask(chunked(JPEG, PHOTO, trailers=(("Digest", "x"),))))


@rule("frame-request-trailers", "Nor those behind a request's body", "RFC 9110 6.5.1")
async def request_trailers(stand: Stand) -> None:
    path = stand.place(raw(200, TEXT, b"done"))
    async with await stand.open() as wire:
        await wire.send(
            stand.head(path, (("Transfer-Encoding", "chunked"),), "POST", ANY) + b"3\r\nabc\r\n0\r\nX-A: 1\r\n\r\n"
        )
        answer = await wire.answer(limit_s=stand.limit_s)
    assert answer.body == b"done" and stand.origin.seen[path][-1].body == b"abc"


@rule("frame-until-close", "A page without any length arrives whole", "RFC 9112 6.3")
async def until_close(stand: Stand) -> None:
    async def script(request: Request) -> None:
        request.writer.write(raw(200, HTML, PAGE_BODY, length=False))

    got = await stand.ask(script, accept=PAGE)
    assert got.answer.body == PAGE_BODY


@rule("frame-image-until-close", "So does an image", "RFC 9112 6.3")
async def image_until_close(stand: Stand) -> None:
    async def script(request: Request) -> None:
        request.writer.write(raw(200, JPEG, PHOTO, length=False, version="HTTP/1.0"))

    shown(await stand.ask(script))


@rule("frame-http-1.0", "An origin that speaks HTTP/1.0 is understood", "RFC 9112 2.3")
async def old_origin(stand: Stand) -> None:
    async def script(request: Request) -> None:
        request.writer.write(raw(200, HTML, PAGE_BODY, version="HTTP/1.0"))

    assert (await stand.ask(script, accept=PAGE)).answer.body == PAGE_BODY


@rule("frame-cut", "A page that breaks off is never presented as complete", "RFC 9112 8")
async def cut(stand: Stand) -> None:
    async def script(request: Request) -> None:
        request.writer.write(raw(200, HTML, PAGE_BODY)[:-5000])

    got = await stand.ask(script, accept=PAGE)
    assert not got.answer.whole or got.answer.status >= 500


@rule("frame-cut-image", "Nor is an image", "RFC 9112 8")
async def cut_image(stand: Stand) -> None:
    async def script(request: Request) -> None:
        request.writer.write(raw(200, JPEG, PHOTO)[:-5000])

    got = await stand.ask(script)
    assert not got.answer.whole or got.answer.status >= 500


@rule("frame-cut-chunks", "Nor is a chunked page", "RFC 9112 8")
async def cut_chunks(stand: Stand) -> None:
    async def script(request: Request) -> None:
        request.writer.write(chunked(HTML, PAGE_BODY)[:-5000])

    got = await stand.ask(script, accept=PAGE)
    assert not got.answer.whole or got.answer.status >= 500


def interim(*heads: bytes) -> bytes:
    return b"".join(head + b"\r\n\r\n" for head in heads) + raw(200, HTML, PAGE_BODY)


for _name, _text, _heads in (
    ("100", "An origin's 100 is not taken for its answer", (b"HTTP/1.1 100 Continue",)),
    ("102", "Nor is a 102", (b"HTTP/1.1 102 Processing",)),
    ("103", "Nor are early hints", (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload",) * 3),
):

    @rule(f"interim-{_name}", _text, "RFC 9110 15.2")
    async def first_interim(stand: Stand, heads: tuple[bytes, ...] = _heads) -> None:
        got = await stand.ask(interim(*heads), accept=PAGE)
        assert got.answer.status == 200 and got.answer.body == PAGE_BODY


@rule("interim-image", "An image behind early hints is shown", "RFC 8297 2")
async def hinted_image(stand: Stand) -> None:
    shown(await stand.ask(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + raw(200, JPEG, PHOTO)))


@rule(
    "interim-left-out",
    "Early hints end at the proxy (a departure from the standard: browsers heed them over HTTP/2 only, and old clients "
    "take them for the answer)",
    "RFC 9110 15.2; RFC 8297 3",
)
async def left_out(stand: Stand) -> None:
    got = await stand.ask(interim(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload"), accept=PAGE)
    assert got.answer.interim == () and got.answer.get("link") is None and got.answer.body == PAGE_BODY


@rule(
    "interim-expect-end", "The proxy itself answers 100 Continue: the origin gets the body unasked", "RFC 9110 10.1.1"
)
async def expect_end(stand: Stand) -> None:
    got = await stand.ask(raw(200, TEXT, b"done"), (("Expect", "100-continue"),), method="POST", body=b"x" * 3000)
    assert got.answer.interim == (100,) and got.answer.body == b"done"
    assert got.asked.body == b"x" * 3000 and got.asked.get("expect") is None


@rule("interim-expect-odd", "Another expectation is no reason to hang", "RFC 9110 10.1.1")
async def expect_odd(stand: Stand) -> None:
    got = await stand.ask(raw(200, TEXT, b"done"), (("Expect", "miracles"),), method="POST", body=b"some body")
    assert got.answer.status in (200, 417)


@rule("interim-expect", "A client that waits for 100 Continue gets it, and its body arrives", "RFC 9110 10.1.1")
async def expect(stand: Stand) -> None:
    path = stand.place(raw(200, TEXT, b"done"))
    async with await stand.open() as wire:
        await wire.send(stand.head(path, (("Content-Length", "9"), ("Expect", "100-continue")), "POST", ANY))
        first = await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), stand.limit_s)
        assert first.startswith(b"HTTP/1.1 100")
        await wire.send(b"some body")
        answer = await wire.answer(limit_s=stand.limit_s)
    assert answer.body == b"done" and stand.origin.seen[path][-1].body == b"some body"


@rule("stream-events", "An event of an event stream arrives while the stream goes on", "HTML 9.2; FACTS")
async def events(stand: Stand) -> None:
    async def script(request: Request) -> None:
        request.writer.write(raw(200, (("Content-Type", "text/event-stream"),), length=False) + b"data: one\n\n")
        await request.writer.drain()
        await request.reader.read(1)  # until the client goes away

    path = stand.place(script)
    async with await stand.open() as wire:
        await wire.send(stand.head(path, accept="text/event-stream"))
        answer = await wire.answer(body=False, limit_s=10)
        assert answer.type == "text/event-stream"
        while b"data: one" not in await asyncio.wait_for(wire.reader.readline(), 10):
            pass


@rule("stream-slow-page", "The first words of a page arrive before its last ones are written", "FACTS")
async def slow_page(stand: Stand) -> None:
    async def script(request: Request) -> None:
        request.writer.write(raw(200, (*HTML, ("Content-Length", "20")), length=False) + b"first half")
        await request.writer.drain()
        await gate.wait()
        request.writer.write(b"other half")

    gate, path = asyncio.Event(), stand.place(script)
    async with await stand.open() as wire:
        await wire.send(stand.head(path, accept=PAGE))
        await wire.answer(body=False, limit_s=10)
        assert await asyncio.wait_for(wire.reader.readexactly(10), 10) == b"first half"
        gate.set()
        assert await asyncio.wait_for(wire.reader.readexactly(10), 10) == b"other half"


@rule("stream-web-socket", "A WebSocket opens and carries bytes both ways", "RFC 6455 4")
async def web_socket(stand: Stand) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    accepted = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()

    async def script(request: Request) -> None:
        assert (request.get("upgrade") or "").lower() == "websocket"
        assert "upgrade" in (request.get("connection") or "").lower()
        fields = (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accepted))
        request.writer.write(raw(101, fields, length=False))
        frame = await request.reader.readexactly(2 + 4 + 5)
        text = bytes(a ^ frame[2 + n % 4] for n, a in enumerate(frame[6:]))
        request.writer.write(b"\x81\x05" + text)
        await request.writer.drain()
        await request.reader.read(1)

    asked = (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
    )
    path = stand.place(script)
    async with await stand.open() as wire:
        await wire.send(stand.head(path, asked, accept=""))
        answer = await wire.answer(limit_s=stand.limit_s)
        assert answer.status == 101 and answer.get("sec-websocket-accept") == accepted
        await wire.send(b"\x81\x85\1\2\3\4" + bytes(a ^ (1, 2, 3, 4)[n % 4] for n, a in enumerate(b"hello")))
        assert await asyncio.wait_for(wire.reader.readexactly(7), 10) == b"\x81\x05hello"


@rule("hop-named", "Fields that Connection names stay on their hop, both ways", "RFC 9110 7.6.1")
async def named(stand: Stand) -> None:
    fields = (*HTML, ("Connection", "X-Hop"), ("X-Hop", "1"), ("X-End", "2"))
    asked = (("Connection", "X-My-Hop"), ("X-My-Hop", "1"), ("X-My-End", "2"))
    got = await stand.ask(raw(200, fields, PAGE_BODY), asked, accept=PAGE)
    assert got.asked.get("x-my-hop") is None and got.asked.get("x-my-end") == "2"
    assert got.answer.get("x-hop") is None and got.answer.get("x-end") == "2" and got.answer.body == PAGE_BODY


@rule("hop-vital", "Connection cannot take away what a message needs", "RFC 9110 7.6.1")
async def vital(stand: Stand) -> None:
    asked = (("Connection", "close, Cookie, Host, Authorization"), ("Cookie", "a=1"), ("Authorization", "Basic eDp5"))
    got = await stand.ask(raw(200, HTML, PAGE_BODY), asked, accept=PAGE)
    assert (got.asked.get("cookie"), got.asked.get("authorization")) == ("a=1", "Basic eDp5")
    assert got.asked.get("host") == stand.authority


@rule("hop-keep-alive", "Keep-Alive and Proxy-Connection stay on their hop", "RFC 9110 7.6.1")
async def keep_alive_field(stand: Stand) -> None:
    asked = (("Proxy-Connection", "keep-alive"), ("Keep-Alive", "timeout=5"))
    got = await stand.ask(raw(200, (*HTML, ("Keep-Alive", "timeout=9")), PAGE_BODY), asked, accept=PAGE)
    assert got.asked.get("proxy-connection") is None and got.asked.get("keep-alive") is None
    assert (got.answer.get("keep-alive") or "").find("9") < 0


@rule("hop-upgrade", "An upgrade to plain-text HTTP/2 is not passed on", "RFC 9113 3.1")
async def upgrade(stand: Stand) -> None:
    asked = (("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk"))
    got = await stand.ask(raw(200, HTML, PAGE_BODY), asked, accept=PAGE)
    assert got.asked.get("upgrade") is None and got.asked.get("http2-settings") is None
    assert got.answer.body == PAGE_BODY


passes(
    "field-order",
    "Fields keep their order, their spelling and their duplicates",
    "RFC 9110 5.3",
    (*TEXT, ("X-B", "1"), ("x-A", "2"), ("X-b", "3"), ("LINK", "<a>"), ("Link", "<b>"), ("X-Empty", "")),
    body=b"text" * 400,
    accept=ANY,
)
passes(
    "field-bytes",
    "Bytes that are no ASCII survive in a value",
    "RFC 9110 5.5",
    (*TEXT, ("X-Name", "caf\xe9 \xff\x80"), ("Content-Disposition", 'inline; filename="\xc3\xa9.txt"')),
    body=b"text" * 400,
    accept=ANY,
)


@rule("field-request-order", "A request's fields keep their order, spelling and duplicates, too", "RFC 9110 5.3")
async def request_order(stand: Stand) -> None:
    asked = (("X-B", "1"), ("x-A", "2"), ("X-B", "3"), ("X-Name", "caf\xe9"), ("X-Empty", ""))
    got = await stand.ask(raw(200, TEXT, b"ok"), asked, accept=ANY)
    assert tuple(each for each in got.asked.fields if each[0].lower().startswith("x-")) == asked


passes(
    "field-64k-answer",
    "An answer with 64 kB of fields passes",
    "RFC 9110 5.4",
    (*TEXT, *((f"X-Long-{n}", "v" * 1000) for n in range(64))),
    body=b"text" * 400,
    accept=ANY,
)


@rule("field-64k-request", "A request with 64 kB of fields passes", "RFC 9110 5.4")
async def long_request(stand: Stand) -> None:
    asked = tuple((f"X-Long-{n}", "v" * 1000) for n in range(64))
    got = await stand.ask(raw(200, TEXT, b"ok"), asked, accept=ANY)
    assert got.answer.body == b"ok" and tuple(f for f in got.asked.fields if f[0].startswith("X-Long")) == asked


@rule("field-too-large", "A head that never ends is refused and kept in no memory", "RFC 6585 5", ours=True)
async def endless(stand: Stand) -> None:
    async with await stand.open() as wire:
        await wire.send(stand.head(stand.place(b""))[:-2] + b"X-Long: " + b"v" * 400_000)
        assert (await wire.answer(limit_s=stand.limit_s)).status == 431


@rule("field-long-url", "An address of 8 kB passes", "RFC 9110 4.1")
async def long_url(stand: Stand) -> None:
    path = stand.place(raw(200, TEXT, b"ok"), "a" * 8000)
    assert (await stand.ask(path=path, accept=ANY)).answer.body == b"ok"


@rule("field-odd-url", "Odd characters of an address pass as they are", "RFC 3986 2")
async def odd_url(stand: Stand) -> None:
    path = stand.place(raw(200, TEXT, b"ok"), "a%2Fb//./c;d=1?e=%7B%22&f=[g]|h&&i='j'")
    got = await stand.ask(path=path, accept=ANY)
    assert got.answer.body == b"ok" and got.asked.path == path


@rule("client-http-1.0", "A client of HTTP/1.0 gets a page, unchunked, and the end of the connection", "RFC 9112 2.3")
async def old_client(stand: Stand) -> None:
    path = stand.place(raw(200, HTML, PAGE_BODY))
    async with await stand.open() as wire:
        await wire.send(stand.head(path, accept=PAGE, version="HTTP/1.0"))
        answer = await wire.answer(limit_s=stand.limit_s)
        assert answer.body == PAGE_BODY and answer.get("transfer-encoding") is None
        assert not await wire.is_open(5)


@rule("client-http-1.0-image", "It gets an image, too", "RFC 9112 2.3")
async def old_client_image(stand: Stand) -> None:
    shown(await stand.ask(raw(200, JPEG, PHOTO), version="HTTP/1.0", accept=ANY))


@rule("client-keep-alive", "One connection serves one request after the other", "RFC 9112 9.3")
async def keep_alive(stand: Stand) -> None:
    paths = [stand.place(raw(200, TEXT, b"%d" % n * 50)) for n in range(5)]
    async with await stand.open() as wire:
        for n, path in enumerate(paths):
            await wire.send(stand.head(path, accept=ANY))
            assert (await wire.answer(limit_s=stand.limit_s)).body == b"%d" % n * 50


@rule("client-pipelining", "Requests that are sent at once are answered in their order", "RFC 9112 9.3.2")
async def pipelining(stand: Stand) -> None:
    paths = [stand.place(raw(200, TEXT, b"%d" % n * 50)) for n in range(6)]
    async with await stand.open() as wire:
        await wire.send(b"".join(stand.head(path, accept=ANY) for path in paths))
        found = [(await wire.answer(limit_s=stand.limit_s)).body for _ in paths]
    assert found == [b"%d" % n * 50 for n in range(6)]


@rule("client-byte-by-byte", "A request that arrives byte by byte is answered", "RFC 9112 2.2")
async def byte_by_byte(stand: Stand) -> None:
    path = stand.place(raw(200, TEXT, b"ok"))
    async with await stand.open() as wire:
        for byte in stand.head(path, accept=ANY):
            await wire.send(bytes((byte,)))
        assert (await wire.answer(limit_s=stand.limit_s)).body == b"ok"


@rule("client-empty-lines", "Empty lines before a request are forgiven", "RFC 9112 2.2")
async def empty_lines(stand: Stand) -> None:
    path = stand.place(raw(200, TEXT, b"ok"))
    async with await stand.open() as wire:
        await wire.send(b"\r\n\r\n" + stand.head(path, accept=ANY))
        assert (await wire.answer(limit_s=stand.limit_s)).body == b"ok"


@rule("client-chunked-upload", "An upload of unknown length arrives whole", "RFC 9112 7.1")
async def chunked_upload(stand: Stand) -> None:
    path, body = stand.place(raw(200, TEXT, b"done")), os.urandom(200_000)
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[n : n + 999] for n in range(0, len(body), 999)))
    async with await stand.open() as wire:
        await wire.send(stand.head(path, (("Transfer-Encoding", "chunked"),), "POST", ANY) + pieces + b"0\r\n\r\n")
        assert (await wire.answer(limit_s=stand.limit_s)).body == b"done"
    assert stand.origin.seen[path][-1].body == body


@rule("client-leaves", "A client that goes away in the middle harms nobody else", "FACTS")
async def leaves(stand: Stand) -> None:
    path = stand.place(raw(200, (("Content-Type", "video/mp4"),), bytes(2_000_000)))
    for _ in range(5):
        async with await stand.open() as wire:
            await wire.send(stand.head(path, accept=ANY))
            await wire.reader.read(1000)
            wire.writer.transport.abort()
    assert (await stand.ask(raw(200, TEXT, b"ok"), accept=ANY)).answer.body == b"ok"


@rule(
    "client-smuggled", "A request with both Content-Length and Transfer-Encoding is refused or disarmed", "RFC 9112 6.1"
)
async def smuggled(stand: Stand) -> None:
    path, hidden = stand.place(raw(200, TEXT, b"ok")), stand.place(raw(200, TEXT, b"hidden"))
    inside = b"0\r\n\r\n" + f"GET {hidden} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    asked = (("Content-Length", str(len(inside))), ("Transfer-Encoding", "chunked"))
    async with await stand.open() as wire:
        await wire.send(stand.head(path, asked, "POST", ANY) + inside)
        assert (await wire.answer(limit_s=stand.limit_s)).status in (200, 400, 501, 502)
    assert not stand.origin.seen[hidden]


@rule("client-two-lengths", "So is one with two lengths", "RFC 9112 6.3")
async def two_lengths(stand: Stand) -> None:
    path, hidden = stand.place(raw(200, TEXT, b"ok")), stand.place(raw(200, TEXT, b"hidden"))
    inside = f"GET {hidden} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    asked = (("Content-Length", "0"), ("Content-Length", str(len(inside))))
    async with await stand.open() as wire:
        await wire.send(stand.head(path, asked, "POST", ANY) + inside)
        assert (await wire.answer(limit_s=stand.limit_s)).status in (200, 400, 502)
    assert not stand.origin.seen[hidden]


@rule("client-garbage", "Garbage is answered with an error or the end, and the next client is served", "RFC 9112 3")
async def garbage(stand: Stand) -> None:
    for sent in (
        b"\0" * 4000 + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3" + bytes(300),
        b"GET / HTTP/9.9\r\n\r\n",
    ):
        async with await stand.open() as wire:
            await wire.send(sent)
            wire.writer.write_eof()
            await asyncio.wait_for(wire.reader.read(), stand.limit_s)
    assert (await stand.ask(raw(200, TEXT, b"ok"), accept=ANY)).answer.body == b"ok"


@rule("client-slow-loris", "200 clients that never finish their requests keep nobody waiting", "FACTS")
async def slow_loris(stand: Stand) -> None:
    wires = [await stand.open() for _ in range(200)]
    try:
        for wire in wires:
            await wire.send(stand.head("/never", accept=ANY)[:-2] + b"X-A: ")
        began = time.monotonic()
        assert (await stand.ask(raw(200, TEXT, b"ok"), accept=ANY)).answer.body == b"ok"
        assert time.monotonic() - began < 10
    finally:
        for wire in wires:
            wire.close()


@rule("client-thousand", "A thousand requests at once are all answered", "FACTS")
async def thousand(stand: Stand) -> None:
    paths = [stand.place(raw(200, TEXT, b"%d" % n * 40)) for n in range(1000)]
    answers = await asyncio.gather(*(stand.ask(path=path, accept=ANY, limit_s=100) for path in paths))
    assert [got.answer.body for got in answers] == [b"%d" % n * 40 for n in range(1000)]


@rule("origin-silent", "An origin that hangs up without a word is a 502", "RFC 9110 15.6.3")
async def silent(stand: Stand) -> None:
    async def script(request: Request) -> None:
        return None

    assert (await stand.ask(script, accept=PAGE)).answer.status in (500, 502, 503, 504)


@rule("origin-garbage", "An origin that speaks another language is a 502", "RFC 9110 15.6.3")
async def origin_garbage(stand: Stand) -> None:
    async def script(request: Request) -> None:
        request.writer.write(b"SSH-2.0-OpenSSH_9\r\n" * 20 + b"\r\n")

    assert (await stand.ask(script, accept=PAGE)).answer.status in (500, 502, 503, 504)


@rule("origin-gone", "An origin that is not there is a 502", "RFC 9110 15.6.3")
async def gone(stand: Stand) -> None:
    async with await stand.open() as wire:
        await wire.send(b"GET http://gone.conform.invalid/ HTTP/1.1\r\nHost: gone.conform.invalid\r\n\r\n")
        assert (await wire.answer(limit_s=stand.limit_s)).status in (404, 500, 502, 503, 504)


@rule("origin-split", "A line break hidden in a field's value makes no new field", "RFC 9110 5.5")
async def split(stand: Stand) -> None:
    got = await stand.ask(raw(200, (*TEXT, ("X-A", "1\r X-B: 2")), b"ok"), accept=ANY)
    assert got.answer.get("x-b") is None


@rule("origin-closes", "An origin that ends its connection after each answer is no trouble", "RFC 9112 9.6")
async def closes(stand: Stand) -> None:
    async def script(request: Request) -> None:
        request.writer.write(raw(200, (*TEXT, ("Connection", "close")), b"ok"))

    path = stand.place(script)
    async with await stand.open() as wire:
        await wire.send(stand.head(path, accept=ANY))
        assert (await wire.answer(limit_s=stand.limit_s)).body == b"ok"
    assert (await stand.ask(path=path, accept=ANY)).answer.body == b"ok"


@rule("origin-slow", "A slow image is shown", "FACTS")
async def slow_image(stand: Stand) -> None:
    async def script(request: Request) -> None:
        whole = raw(200, JPEG, PHOTO)
        for at in range(0, len(whole), len(whole) // 5):
            request.writer.write(whole[at : at + len(whole) // 5])
            await request.writer.drain()
            await asyncio.sleep(0.02)

    shown(await stand.ask(script))


@rule("origin-same-picture", "The same picture at many addresses is right at each of them", "FACTS")
async def same_picture(stand: Stand) -> None:
    body = saved(picture(300, 200), "JPEG", quality=89)
    for got in await asyncio.gather(*(stand.ask(raw(200, JPEG, body)) for _ in range(12))):
        shown(got, picture(300, 200))


@rule(
    "origin-default-headers",
    "The request line and Host that reach an origin are those of a plain client",
    "RFC 9112 3.2",
)
async def request_line(stand: Stand) -> None:
    got = await stand.ask(raw(200, TEXT, b"ok"), accept=ANY)
    untouched(got, 200, TEXT, b"ok")
    assert got.asked.path == got.path and got.asked.all("host") == [stand.authority]
