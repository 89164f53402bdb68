"""Animations: what comes out runs just so, in fewer bytes, or there is nothing."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageDraw

from proxy.encode import animate as module
from proxy.encode.animate import Animation, animate, timing
from proxy.encode.encoder import encode
from proxy.encode.request import Declined, Encoded, EncodeRequest
from proxy.policy import Reason, Skip

LIMIT_PIXELS = 50_000_000
Frames = list[Image.Image]


def photographs(count: int = 6, size: tuple[int, int] = (160, 120)) -> Frames:
    picture = Image.fromarray(skimage.data.coffee()).resize((size[0] + 40, size[1] + 30))
    return [picture.crop((5 * n, 3 * n, 5 * n + size[0], 3 * n + size[1])) for n in range(count)]


def drawings(count: int = 10) -> Frames:
    frames = []
    for n in range(count):
        frame = Image.new("RGBA", (100, 80), (0, 0, 0, 0))
        ImageDraw.Draw(frame).pieslice((10, 10, 70, 70), 30 * n, 30 * n + 200, fill=(20, 90, 200, 255))
        frames.append(frame)
    return frames


def saved(frames: Frames, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], **options)
    return out.getvalue()


def made(data: bytes, tier: str = "balanced", share: float = 0.95) -> Animation | Skip:
    return animate(data, tier, int(share * len(data)), LIMIT_PIXELS)


def shown(data: bytes) -> list[np.ndarray]:
    return [frame for frame, _ in module._frames(data)]


@pytest.mark.parametrize("tier", ["economy", "balanced", "faithful"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("GIF", {"duration": [40, 80, 120, 40, 40, 900], "loop": 0}),
        ("GIF", {"duration": 100}),
        ("GIF", {"duration": 100, "loop": 3}),
        ("PNG", {"duration": [40, 80, 120, 40, 40, 900], "loop": 2}),
        ("WEBP", {"duration": 70, "loop": 0, "quality": 98}),
    ],
)
def test_it_runs_just_so_and_is_smaller(kind: str, options: dict[str, object], tier: str) -> None:
    data = saved(photographs(), kind, **options)
    found = made(data, tier)
    assert isinstance(found, Animation)
    assert len(found.file.body) <= 0.95 * len(data) and found.file.media_type == "image/webp"
    assert found.size == (160, 120) and timing(found.file.body) == timing(data)
    before, after = shown(data), shown(found.file.body)
    assert len(before) == len(after) == 6
    for original, other in zip(before, after, strict=True):
        assert np.abs(original[..., :3].astype(int) - other[..., :3]).mean() < 12


def test_a_better_tier_looks_better() -> None:
    data = saved(photographs(), "PNG", duration=90)
    errors = []
    for tier in ("economy", "faithful"):
        found = made(data, tier)
        assert isinstance(found, Animation)
        pairs = zip(shown(data), shown(found.file.body), strict=True)
        errors.append(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairs]))
    assert errors[1] < errors[0]


@pytest.mark.parametrize(("kind", "options"), [("GIF", {"disposal": 2}), ("PNG", {}), ("WEBP", {"lossless": True})])
def test_transparency_is_exact(kind: str, options: dict[str, object]) -> None:
    data = saved(drawings(), kind, duration=60, loop=0, **options)
    found = made(data)
    if kind == "WEBP" and isinstance(found, Skip):
        assert found.detail == "no file of it is smaller"
        return
    assert isinstance(found, Animation)
    for original, other in zip(shown(data), shown(found.file.body), strict=True):
        assert np.array_equal(original[..., 3], other[..., 3])


def test_rounds_and_durations_are_what_browsers_make_of_them() -> None:
    frames = photographs(3, (40, 30))
    assert timing(saved(frames, "GIF", duration=100)).rounds == 1
    assert timing(saved(frames, "GIF", duration=100, loop=0)).rounds == 0
    assert timing(saved(frames, "GIF", duration=100, loop=3)).rounds == 4, "three more after the first"
    assert timing(saved(frames, "PNG", duration=100, loop=3)).rounds == 3
    assert timing(saved(frames, "GIF", duration=[0, 10, 20])).durations_ms == (100, 100, 20)


def test_what_does_not_pay_stays() -> None:
    data = saved(photographs(), "WEBP", duration=70, quality=5)
    assert made(data, "faithful") == Skip(Reason.ANIMATED, "no file of it is smaller")


def test_too_much_work_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(photographs(), "GIF", duration=70)
    for name, value, why in (
        ("MAX_FRAMES", 5, "more than 5 frames"),
        ("MAX_PIXELS", 5 * 160 * 120, "more than 96000 pixels × frames"),
        ("MAX_FRAME_PIXELS", 1000, "160×120 px are too many for an animation"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            assert made(data) == Skip(Reason.ANIMATED, why)


@pytest.mark.parametrize("looks", [3, 9, 15])
def test_the_time_is_kept_at_every_stage(looks: int) -> None:
    data = saved(photographs(), "GIF", duration=70)
    ticks = itertools.chain(itertools.repeat(0.0, looks), itertools.repeat(1000.0))
    assert animate(data, "balanced", len(data), LIMIT_PIXELS, lambda: next(ticks)) == Skip(
        Reason.ANIMATED, "it takes too long"
    )


def test_what_cannot_be_kept_is_left() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    sideways = saved(photographs(), "WEBP", duration=70, quality=98, exif=turned)
    assert made(sideways) == Skip(Reason.ANIMATED, "it is to be turned")
    frames = photographs()
    covered = saved(frames, "PNG", duration=70, default_image=True)
    assert made(covered) == Skip(Reason.ANIMATED, "its first picture is not part of it")
    still = [frames[0], frames[1], frames[1].copy(), frames[2]]
    twice = saved(still, "PNG", duration=[50, 60, 70, 80])
    found = made(twice)  # the codec joins equal frames: then the count would differ
    assert isinstance(found, Skip) or timing(found.file.body) == timing(twice)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_damaged_files_give_nothing_or_what_their_frames_show(kind: str) -> None:
    data = saved(photographs(4, (60, 40)), kind, duration=70)
    dice = np.random.default_rng(5)
    for n in range(60):
        cut = bytearray(data[: int(dice.integers(20, len(data)))] if n % 2 else data)
        for _ in range(3):
            cut[int(dice.integers(0, len(cut)))] = int(dice.integers(0, 256))
        found = made(bytes(cut), "economy")
        if isinstance(found, Animation):
            assert len(shown(found.file.body)) == len(shown(bytes(cut)))


def test_the_encoder_asks_for_it_only_where_the_browser_shows_it() -> None:
    data = saved(photographs(), "GIF", duration=70, loop=0)
    found = encode(EncodeRequest(data, formats=("webp",), moving=True))
    assert isinstance(found, Encoded)
    assert (found.media_type, found.kind, found.width_px, found.height_px) == ("image/webp", "animation", 160, 120)
    for request in (EncodeRequest(data, formats=("webp",)), EncodeRequest(data, mode="thumbnail", moving=True)):
        other = encode(request)
        assert isinstance(other, Declined) and other.reason is Reason.ANIMATED
    assert isinstance(encode(EncodeRequest(data, formats=("webp",), moving=True, tier="off")), Declined)
