"""Hostile bodies and hostile HTTP: whatever arrives, the answer is an image or a 4xx, and the service lives on."""

from __future__ import annotations

import asyncio
import io
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from client_runtime.engines.preview import PreviewEngine
from proxy.bundle import Bundle, Coding, Edges, Picture, Prompt, Rectangle, Salient, avif, jbig2, pack, webp
from proxy.bundle.atlas import layout

BODIES_EACH = 700
AT_A_TIME = 8
Serve = Callable[..., Any]


def coded(width_px: int, height_px: int, coding: Coding, seed: int = 1) -> Picture:
    rgb = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
    file = io.BytesIO()
    if coding is Coding.AVIF:
        Image.fromarray(rgb).save(file, "AVIF", quality=40)
        return Picture(coding, width_px, height_px, avif.strip(file.getvalue()))
    Image.fromarray(rgb).save(file, "WEBP", lossless=coding is Coding.WEBP_LOSSLESS, quality=40)
    return Picture(coding, width_px, height_px, webp.strip(file.getvalue())[0])


def seeds() -> list[bytes]:
    """Small bundles that use every section and coding."""
    bitmap = np.random.default_rng(2).random((24, 32)) < 0.1
    edges = Edges(32, 24, 2, False, jbig2.encode(bitmap))
    rectangles = (Rectangle(2, 3, 20, 10), Rectangle(30, 20, 17, 9))
    plan = layout(rectangles, 1)
    salient = Salient(rectangles, 1, coded(plan.width_px, plan.height_px, Coding.AVIF))
    return [
        pack(Bundle(64, 48, 7, thumbnail=coded(8, 6, Coding.AVIF), original_sha256=b"12345678")),
        pack(Bundle(64, 48, thumbnail=coded(8, 6, Coding.WEBP_LOSSY), salient=salient)),
        pack(
            Bundle(64, 48, prompt=Prompt("a cat on a mat " * 5), edges=edges, palette=coded(8, 6, Coding.WEBP_LOSSLESS))
        ),
        pack(Bundle(64, 48, prompt=Prompt(None), edges=edges)),
    ]


def mutated(data: bytes, luck: random.Random) -> bytes:
    """`data` with a few bytes changed, inserted, removed or repeated."""
    out = bytearray(data)
    for _ in range(luck.randint(1, 4)):
        at = luck.randrange(len(out))
        kind = luck.randrange(5)
        if kind == 0:
            out[at] = luck.randrange(256)
        elif kind == 1:
            out[at] ^= 1 << luck.randrange(8)
        elif kind == 2:
            out[at:at] = luck.randbytes(luck.randint(1, 8))
        elif kind == 3 and len(out) > 30:
            del out[at : at + luck.randint(1, 8)]
        else:
            out[at:at] = out[at : at + luck.randint(1, 32)]
    return bytes(out)


def sealed(data: bytes) -> bytes:
    """`data` with a checksum that fits, so that it reaches what lies behind."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "big")


def random_bytes(luck: random.Random) -> Iterator[bytes]:
    for _ in range(BODIES_EACH):
        yield luck.choice((b"", b"\xf5SW\x01\x00")) + luck.randbytes(luck.randrange(200))


def damaged(luck: random.Random) -> Iterator[bytes]:
    originals = seeds()
    for number in range(BODIES_EACH):
        yield mutated(originals[number % 4], luck)


def forged(luck: random.Random) -> Iterator[bytes]:
    originals = seeds()
    for number in range(2 * BODIES_EACH):
        yield sealed(mutated(originals[number % 4], luck))


@pytest.mark.parametrize("bodies", [random_bytes, damaged, forged], ids=lambda bodies: bodies.__name__)
async def test_every_body_gets_an_image_or_a_4xx(
    serve: Serve, bodies: Callable[[random.Random], Iterator[bytes]]
) -> None:
    server = await serve(PreviewEngine(), max_pixels=200_000)
    statuses: Counter[int] = Counter()
    source = iter(list(bodies(random.Random(20))))

    async def one_after_the_other() -> None:
        for data in source:
            async with server.session.post("/v1/reconstruct", data=data) as answer:
                body = await answer.read()
                assert answer.status < 500, (answer.status, body, data.hex())
                assert answer.content_type == ("image/webp" if answer.status == 200 else "application/json")
                statuses[answer.status] += 1

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_A_TIME)))
    assert statuses[400] > 100
    if bodies is forged:
        assert statuses[200] > 100  # else nothing behind the checksum was reached


async def test_every_prefix_of_a_bundle_is_bad(serve: Serve) -> None:
    server = await serve(PreviewEngine())
    whole = seeds()[1]
    for length in range(0, len(whole), 7):
        async with server.session.post("/v1/reconstruct", data=whole[:length]) as answer:
            assert answer.status == 400


async def test_every_byte_string_on_the_port_leaves_the_service_alive(serve: Serve) -> None:
    server = await serve(PreviewEngine())
    luck = random.Random(4)
    good = seeds()[0]
    head = b"POST /v1/reconstruct HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(good)
    chunked = head.replace(b"Content-Length: %d" % len(good), b"Transfer-Encoding: chunked") + b"5\r\nabcde\r\nzz\r\n"
    for number in range(200):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        data = luck.randbytes(300) if number % 4 == 0 else mutated(chunked if number % 4 == 1 else head + good, luck)
        writer.write(data)
        writer.write_eof()
        try:
            answer = await asyncio.wait_for(reader.read(), 5)
        except ConnectionError:
            answer = b""
        assert not answer.startswith(b"HTTP/1.1 5"), (answer[:200], data)
        assert b"Traceback" not in answer
        writer.close()
    async with server.session.post("/v1/reconstruct", data=good) as answer_to_good:
        assert answer_to_good.status == 200
