from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from proxy.bundle import Bundle, Prompt, pack
from proxy.bundle.model import Picture
from proxy.bundle.provenance import field_value
from proxy.config import DownstreamConfig
from proxy.encode.pictures import thumbnail
from proxy.policy import Reason
from proxy.provenance import read_file
from proxy.restore import Failed, Offer, Restored, Restorer
from proxy.runtime_client import (
    Reconstructed,
    RuntimeBusy,
    RuntimeCapabilities,
    RuntimeRefused,
    RuntimeTimeout,
    RuntimeUnavailable,
)

CAN = RuntimeCapabilities("sketch", "0123456789abcdef", ("edges", "thumbnail"), "1", "preview")
CHROME = "image/avif,image/webp,*/*"


def picture() -> Picture:
    gradient = np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[:, None], (48, 1, 3)).reshape(48, 64, 3)
    return thumbnail(gradient, 4, 400)[0]


def bundle(prompt: Prompt | None = None, with_thumbnail: bool = True) -> bytes:
    return pack(Bundle(64, 48, prompt=prompt, thumbnail=picture() if with_thumbnail else None))


def image(width: int = 64, height: int = 48, kind: str = "WEBP") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (9, 9, 9)).save(out, kind)
    return out.getvalue()


@dataclass
class FakeRuntime:
    draw: Callable[[], bytes] = image
    fallback: str | None = None
    asked: list[tuple[object, ...]] = field(default_factory=list)

    async def capabilities(self) -> RuntimeCapabilities | None:
        return CAN

    async def reconstruct(
        self,
        bundle: bytes,
        prompt: str | None,
        media_type: str,
        deadline_s: float,
        *,
        quality: int | None = None,
        client: str | None = None,
    ) -> Reconstructed:
        self.asked.append((prompt, media_type, deadline_s, quality, client))
        return Reconstructed(self.draw(), media_type, CAN.label, True, 1.0, 2.0, self.fallback)


def raising(error: Exception) -> Callable[[], bytes]:
    def draw() -> bytes:
        raise error

    return draw


async def restore(runtime: FakeRuntime | None, data: bytes, words: str | None = None) -> Restored | Failed:
    return await Restorer(DownstreamConfig(), runtime).restore(data, words, CHROME, "image/jpeg", "c1")


async def test_the_runtime_draws() -> None:
    runtime = FakeRuntime()
    made = await restore(runtime, bundle())
    assert isinstance(made, Restored) and not made.degraded and made.reason is None
    assert (made.body, made.media_type, made.width_px, made.height_px) == (image(), "image/webp", 64, 48)
    assert (made.engine, made.cache_hit, made.queue_ms, made.reconstruct_ms) == (CAN.label, True, 1.0, 2.0)
    assert runtime.asked == [(None, "image/webp", 6.0, 88, None)]


@pytest.mark.parametrize(
    ("prompt", "words", "told"),
    [
        (None, "page words", None),
        (Prompt("sent words"), "page words", "sent words"),
        (Prompt(None), "page words", "page words"),
        (Prompt(None), None, None),
    ],
)
async def test_prompts_come_from_the_bundle_or_the_page(
    prompt: Prompt | None, words: str | None, told: str | None
) -> None:
    runtime = FakeRuntime()
    await restore(runtime, bundle(prompt), words)
    asked_prompt, *_, client = runtime.asked[0]
    assert asked_prompt == told
    assert client == ("c1" if told else None), "what has words is not shared between clients"


@pytest.mark.parametrize(
    ("draw", "reason"),
    [
        (raising(RuntimeUnavailable("x")), Reason.RUNTIME),
        (raising(RuntimeBusy("x", 1)), Reason.BUSY),
        (raising(RuntimeTimeout("x")), Reason.DEADLINE),
        (raising(RuntimeRefused("x", 422)), Reason.RUNTIME),
        (lambda: image(65, 48), Reason.RUNTIME),
        (lambda: b"RIFF no image", Reason.RUNTIME),
    ],
)
async def test_without_a_picture_from_the_runtime_there_is_a_preview(draw: Callable[[], bytes], reason: Reason) -> None:
    made = await restore(FakeRuntime(draw), bundle())
    assert isinstance(made, Restored) and made.degraded and made.reason is reason and made.engine == "preview"
    with Image.open(io.BytesIO(made.body)) as shown:
        assert shown.size == (64, 48) and shown.format == "WEBP"


async def test_a_stand_in_engine_is_a_degraded_picture() -> None:
    made = await restore(FakeRuntime(fallback="the engine failed"), bundle())
    assert isinstance(made, Restored) and made.degraded


async def test_a_proxy_without_runtime_shows_previews_as_what_was_agreed() -> None:
    made = await restore(None, bundle())
    assert isinstance(made, Restored) and not made.degraded and made.reason is None


async def test_nothing_to_draw_a_preview_from_needs_the_original() -> None:
    sick = FakeRuntime(raising(RuntimeTimeout("x")))
    assert await restore(sick, bundle(Prompt("a cup"), with_thumbnail=False)) == Failed(Reason.DEADLINE)
    for data in (b"", b"garbage", bundle()[:-1], bundle() + b"x"):
        made = await restore(FakeRuntime(), data)
        assert isinstance(made, Failed) and made.reason is Reason.BROKEN


async def test_other_formats_for_other_browsers() -> None:
    runtime = FakeRuntime(lambda: image(kind="JPEG"))
    made = await Restorer(DownstreamConfig(), runtime).restore(bundle(), None, "image/png,*/*", "image/gif", "c")
    assert isinstance(made, Restored) and made.media_type == "image/jpeg"


async def test_a_runtime_that_keeps_failing_is_left_alone() -> None:
    runtime = FakeRuntime(raising(RuntimeUnavailable("x")))
    restorer = Restorer(DownstreamConfig(), runtime)
    made = [await restorer.restore(bundle(), None, CHROME, "image/jpeg", "c") for _ in range(8)]
    assert len(runtime.asked) == 5
    assert isinstance(made[-1], Restored) and made[-1].reason is Reason.BREAKER_OPEN


async def test_a_busy_runtime_is_no_broken_one() -> None:
    runtime = FakeRuntime(raising(RuntimeBusy("x", 1)))
    restorer = Restorer(DownstreamConfig(), runtime)
    for _ in range(8):
        await restorer.restore(bundle(), None, CHROME, "image/jpeg", "c")
    assert len(runtime.asked) == 8


async def test_the_offer_follows_the_runtime() -> None:
    restorer = Restorer(DownstreamConfig(), FakeRuntime())
    assert restorer.offer == Offer("preview", ("prompt", "edges", "edges+palette", "thumbnail", "salient"))
    watch = asyncio.create_task(restorer.watch())
    while restorer.offer.engine == "preview":
        await asyncio.sleep(0)
    watch.cancel()
    assert restorer.offer == Offer("sketch@01234567", ("edges", "thumbnail"))
    alone = Restorer(DownstreamConfig(), None)
    await alone.watch()
    assert alone.offer.engine == "preview"


async def test_pictures_say_where_they_come_from() -> None:
    drawn = await restore(FakeRuntime(), bundle())
    shown = await restore(None, bundle())
    assert isinstance(drawn, Restored) and isinstance(shown, Restored)
    assert drawn.provenance == "source=compositeWithTrainedAlgorithmicMedia;engine=sketch@01234567"
    assert shown.provenance == "source=algorithmicallyEnhanced;engine=preview"
    told = read_file(shown.body)
    assert told is not None and field_value(told) == shown.provenance
