"""Files that are asked for again become smaller, while nobody waits."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, field, replace

from PIL import Image, ImageDraw

from proxy.bundle import MEDIA_TYPE
from proxy.config import UpstreamConfig
from proxy.encode import Declined, Encoded, EncodeRequest
from proxy.encode.pool import EncoderPool
from proxy.encoded_cache import EncodedCache, parts_of, result_of
from proxy.negotiation import Accept
from proxy.policy import Reason
from proxy.polish import WAITING_BYTES, Polisher
from proxy.tiers import Terms
from proxy.transform import Transformer, Words
from tests.proxy.test_transform import ACCEPT, JPEG, came

QUICK = Encoded(b"file" * 10, "image/avif", "avif", 40, 30, "chart")
BETTER = replace(QUICK, body=b"smaller", stage_ms={"classical": 900.0})


@dataclass
class Encoders:
    free: int = 2
    slow: Encoded | Declined | None = BETTER
    requests: list[EncodeRequest] = field(default_factory=list)

    async def encode(self, request: EncodeRequest) -> Encoded | Declined:
        self.requests.append(request)
        if self.slow is None:
            raise RuntimeError("a defect")
        return self.slow if request.thorough else QUICK


async def until(ready: object, limit_s: float = 3.0) -> None:
    async with asyncio.timeout(limit_s):
        while not ready():  # type: ignore[operator]
            await asyncio.sleep(0.005)


def offered(polisher: Polisher, made: Encoded = QUICK, data: bytes = JPEG) -> bytes:
    key = made.body[:8] + data[:2]
    polisher.found(key, EncodeRequest(data), made, True)
    return key


async def test_the_second_to_ask_starts_it_and_the_third_gets_less() -> None:
    encoders, cache = Encoders(), EncodedCache()
    transformer = Transformer(UpstreamConfig(), encoders, cache, polisher=Polisher(encoders, cache, 0.05))
    terms = Terms("balanced", ("avif",))
    sent = [await transformer.transform(came(), JPEG, ACCEPT, Words(), terms) for _ in range(2)]
    assert [outcome.encoded and outcome.encoded.body for outcome in sent] == [QUICK.body] * 2
    assert [request.thorough for request in encoders.requests] == [False], "somebody has just asked"
    await until(lambda: len(encoders.requests) == 2)
    last = await transformer.transform(came(), JPEG, ACCEPT, Words(), terms)
    assert last.encoded is not None and last.encoded.body == BETTER.body and last.encoded.polished
    await asyncio.sleep(0.15)
    assert len(encoders.requests) == 2, "once is enough"
    await transformer.close()


async def test_it_waits_for_quiet_and_for_a_second_encoder() -> None:
    encoders, cache = Encoders(free=1), EncodedCache()
    polisher = Polisher(encoders, cache, 0.1)
    offered(polisher)
    await asyncio.sleep(0.25)
    assert encoders.requests == []
    encoders.free = 2
    for _ in range(10):
        polisher.asked()
        await asyncio.sleep(0.02)
    assert encoders.requests == []
    await until(lambda: encoders.requests)
    await polisher.close()


async def test_what_is_not_smaller_stays_and_is_not_tried_again() -> None:
    for answer in (
        replace(BETTER, body=QUICK.body),
        Declined(Reason.DEADLINE),
        replace(BETTER, media_type="image/webp", mode="webp"),
    ):
        encoders, cache = Encoders(slow=answer), EncodedCache()
        polisher = Polisher(encoders, cache, 0.0)
        key = offered(polisher)
        await until(lambda cache=cache, key=key: cache.get(key))
        assert cache.get(key) == replace(QUICK, polished=True) and polisher.saved_bytes == 0
        polisher.found(key, EncodeRequest(JPEG), replace(QUICK, polished=True), True)
        await asyncio.sleep(0.02)
        assert len(encoders.requests) == 1


async def test_bundles_and_what_is_too_much_are_left_alone() -> None:
    encoders = Encoders()
    polisher = Polisher(encoders, EncodedCache(), 0.0)
    offered(polisher, replace(QUICK, media_type=MEDIA_TYPE))
    offered(polisher, data=bytes(WAITING_BYTES + 1))
    await asyncio.sleep(0.02)
    assert encoders.requests == []


async def test_a_defect_ends_nothing() -> None:
    encoders, cache = Encoders(slow=None), EncodedCache()
    polisher = Polisher(encoders, cache, 0.0)
    offered(polisher)
    await until(lambda: encoders.requests)
    encoders.slow = BETTER
    key = offered(polisher, data=b"another image")
    await until(lambda: cache.get(key))
    await polisher.close()


async def test_with_real_encoders() -> None:
    out, asking = io.BytesIO(), Accept("sketch@01234567", "0123456789abcdef")
    drawing = ImageDraw.Draw(image := Image.radial_gradient("L").resize((360, 240)).convert("RGB"))
    drawing.multiline_text((10, 10), "The quick brown fox\n" * 14, fill=(255, 240, 90))
    image.save(out, "PNG")
    origin, terms = came(Content_Type="image/png"), Terms("balanced", ("avif",))
    async with EncoderPool(2, 60.0) as pool:
        cache = EncodedCache()
        polisher = Polisher(pool, cache, 0.05)
        transformer = Transformer(UpstreamConfig(encode_deadline_s=60.0), pool, cache, polisher=polisher)
        first, again = [await transformer.transform(origin, out.getvalue(), asking, Words(), terms) for _ in range(2)]
        assert first.encoded is not None and first.encoded.media_type == "image/avif"
        assert again.encoded is not None and again.encoded.body == first.encoded.body
        await until(lambda: polisher.saved_bytes > 0, 60.0)
        last = await transformer.transform(origin, out.getvalue(), asking, Words(), terms)
        assert last.encoded is not None and len(last.encoded.body) < len(first.encoded.body)
        await transformer.close()


def test_it_is_known_after_a_restart_which_are_done() -> None:
    head, body = parts_of(replace(QUICK, polished=True))
    assert result_of(head, body) == replace(QUICK, polished=True)
    del head["polished"]
    assert result_of(head, body) == QUICK
