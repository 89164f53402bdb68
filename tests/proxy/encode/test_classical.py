from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw
from skimage import data as samples

from proxy.bundle import MEDIA_TYPE
from proxy.encode import Declined, Encoded, EncodeRequest, encode
from proxy.encode.classical import (
    LOSSLESS,
    available,
    file_of,
    pixels_of,
    rival,
    smallest,
)
from proxy.encode.quality import worst_of, worst_places
from proxy.encode.truefile import next_quality, true_file
from proxy.policy import Reason

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def coffee() -> Pixels:
    return np.asarray(samples.coffee())


def chart() -> Pixels:
    image = Image.new("RGB", (600, 400), "white")
    draw = ImageDraw.Draw(image)
    for i, height in enumerate((120, 300, 210, 260, 90)):
        draw.rectangle((60 + i * 100, 380 - height, 130 + i * 100, 380), fill=(40, 90, 200))
        draw.text((80 + i * 100, 360 - height), f"{height} t", fill="black")
    draw.line((40, 20, 40, 380, 580, 380), fill="black", width=2)
    return np.asarray(image)


def with_alpha(rgb: Pixels) -> Pixels:
    alpha = np.tile(np.linspace(0, 255, rgb.shape[1]).astype(np.uint8), (rgb.shape[0], 1))
    alpha[:50, :50] = np.random.default_rng(3).integers(0, 256, (50, 50))
    return np.dstack((rgb, alpha))


def png(pixels: Pixels, format_: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format_, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["avif", "webp", "jxl"])
def test_alpha_comes_back_exactly_in_every_format(kind: str, coffee: Pixels) -> None:
    if kind not in available((kind,)):
        pytest.skip("imagecodecs is not installed")
    pixels = with_alpha(coffee)
    file = true_file(pixels, (kind,), "balanced", 10**7)
    assert file is not None and file.format == kind
    assert np.array_equal(pixels_of(file)[..., 3], pixels[..., 3])


def test_a_thorough_search_is_as_sharp_in_fewer_bytes(coffee: Pixels) -> None:
    screen = coffee.copy()
    ImageDraw.Draw(shown := Image.fromarray(screen)).multiline_text((20, 20), "Lorem ipsum dolor\n" * 12, fill="white")
    quick, slow = (true_file(np.asarray(shown), ("avif",), "balanced", 10**6, thorough) for thorough in (False, True))
    assert quick is not None and slow is not None and len(slow.body) < len(quick.body)
    assert worst_places(np.asarray(shown), pixels_of(slow)) >= 0.88


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        ({40: 0.885}, None),  # near enough
        ({40: 0.86}, 44),
        ({40: 0.86, 44: 0.90}, 43),  # by the slope between them
        ({40: 0.92}, 35),
        ({28: 0.95}, 26),  # the least
        ({26: 0.95}, None),
        ({43: 0.87, 44: 0.95}, None),  # nothing between
        ({94: 0.5}, None),
        ({90: 0.5}, 94),
        ({40: 0.5}, 94),
        ({40: 0.879, 46: 0.86}, 52),  # going up helps little: at least a step
    ],
)
def test_the_next_quality_is_interpolated(tried: dict[int, float], expected: int | None) -> None:
    assert next_quality(tried, 0.88, 26, 0.01) == expected


def test_the_worst_of_some_places(coffee: Pixels) -> None:
    smeared = coffee.copy()
    smeared[100:140, 100:140] = smeared[100:140, 100:140].mean()
    places = [(slice(y, y + 30), slice(5, 35)) for y in range(0, 300, 30)]
    assert worst_of(coffee, smeared, places) == pytest.approx(1.0, abs=1e-5) and worst_of(coffee, smeared, []) == 1.0
    assert worst_of(coffee, smeared, [*places, (slice(100, 140), slice(100, 140)), (slice(105, 130),) * 2]) < 0.7


def test_flat_graphics_are_sharp_in_every_place() -> None:
    file = true_file(chart(), ("avif", "webp"), "balanced", 10**6)
    assert file is not None and worst_places(chart(), pixels_of(file)) >= 0.88
    assert len(file.body) < len(png(chart()))


def test_the_limit_holds_and_no_format_means_no_file(coffee: Pixels) -> None:
    assert true_file(coffee, ("avif", "webp"), "balanced", 500) is None
    assert true_file(coffee, (), "balanced", 10**6) is None
    assert smallest(coffee, (), lambda pixels: True, 10**6) is None
    assert smallest(coffee, ("webp",), lambda pixels: False, 10**6) is None


def test_the_smallest_file_is_good_enough_and_little_more(coffee: Pixels) -> None:
    def close(pixels: Pixels) -> bool:
        return worst_places(coffee, pixels) > 0.5

    file = smallest(coffee, ("avif", "webp"), close, 10**6)
    assert file is not None and file.format == "avif" and close(pixels_of(file))
    assert not close(pixels_of(file_of(coffee, "avif", max(0, file.quality - 8))))


def test_a_rival_fits_its_limit(coffee: Pixels) -> None:
    assert rival(coffee, 500, lambda pixels: True) is None
    found = rival(coffee, 9_000, lambda pixels: True)
    assert found is not None and len(found.body) <= 9_000


def test_worst_places_see_what_a_mean_forgives() -> None:
    spoilt = chart().copy()
    spoilt[20:120, 150:250] = 128
    assert worst_places(chart(), chart()) > 0.999
    assert worst_places(chart(), spoilt) < 0.9
    with pytest.raises(ValueError, match="compare"):
        worst_places(chart(), chart()[:10])


def test_auto_sends_a_true_file_of_what_must_be_true() -> None:
    original = png(chart(), "JPEG", quality=95, subsampling=0)
    answer = encode(EncodeRequest(original, formats=("avif", "webp")))
    assert isinstance(answer, Encoded) and answer.media_type in ("image/avif", "image/webp")
    assert (answer.width_px, answer.height_px) == (600, 400) and len(answer.body) <= 0.95 * len(original)
    with Image.open(io.BytesIO(answer.body)) as image:
        assert image.size == (600, 400)


def test_auto_keeps_alpha_and_size(coffee: Pixels) -> None:
    pixels = with_alpha(coffee)
    for formats in (("avif", "webp"), ("webp",), ("avif",)):
        answer = encode(EncodeRequest(png(pixels), formats=formats))
        assert isinstance(answer, Encoded) and answer.mode in formats
        with Image.open(io.BytesIO(answer.body)) as image:
            assert np.array_equal(np.asarray(image.convert("RGBA"))[..., 3], pixels[..., 3])
    none = encode(EncodeRequest(png(pixels)))
    assert isinstance(none, Declined) and none.reason is Reason.ALPHA


def test_faithful_draws_nothing_and_off_sends_nothing(coffee: Pixels) -> None:
    original = png(coffee, "JPEG", quality=92)
    for formats in (("avif", "webp"), ()):
        faithful = encode(EncodeRequest(original, tier="faithful", engine="sketch", formats=formats, detect=False))
        assert not isinstance(faithful, Encoded) or faithful.media_type != MEDIA_TYPE
    assert isinstance(faithful, Declined) and faithful.reason is Reason.KIND
    off = encode(EncodeRequest(original, tier="off", formats=("avif",)))
    assert isinstance(off, Declined) and off.reason is Reason.TIER
    with pytest.raises(ValueError, match="faithful"):
        EncodeRequest(b"", tier="best")


def test_only_what_is_true_everywhere_is_worth_a_slower_search(coffee: Pixels) -> None:
    photograph = EncodeRequest(png(coffee, "JPEG", quality=92), tier="faithful", formats=("avif",), detect=False)
    drawing = EncodeRequest(png(chart(), "JPEG", quality=95), formats=("avif",))
    for request, polished in ((photograph, True), (drawing, False), (replace(drawing, thorough=True), True)):
        answer = encode(request)
        assert isinstance(answer, Encoded) and answer.polished == polished
    slower = encode(replace(photograph, thorough=True))
    assert isinstance(slower, Encoded) and slower.body == getattr(encode(photograph), "body", b"")


def test_a_large_image_keeps_its_size_as_a_file() -> None:
    tall = np.repeat(np.repeat(chart(), 3, axis=0), 3, axis=1)
    answer = encode(EncodeRequest(png(tall, "JPEG", quality=95), formats=("avif",)))
    assert isinstance(answer, Encoded) and answer.mode == "avif"
    with Image.open(io.BytesIO(answer.body)) as image:
        assert image.size == (1800, 1200)


def test_economy_is_no_larger_than_balanced(coffee: Pixels) -> None:
    original = png(coffee, "JPEG", quality=92)
    sizes = []
    for tier in ("economy", "balanced"):
        answer = encode(EncodeRequest(original, tier=tier, engine="sketch", formats=("avif",), detect=False))
        assert isinstance(answer, Encoded)
        sizes.append(len(answer.body))
    assert sizes[0] < sizes[1]


def test_a_shortlist_comes_with_the_bundle(coffee: Pixels) -> None:
    request = EncodeRequest(
        png(coffee, "JPEG", quality=92),
        engine="sketch",
        formats=("avif",),
        detect=False,
        shortlist=True,
        tier="economy",
    )
    answer = encode(request)
    assert isinstance(answer, Encoded) and answer.media_type == MEDIA_TYPE and answer.shortlist is not None
    others = answer.shortlist
    assert others.cheaper is None or len(others.cheaper.body) < len(answer.body)
    assert others.dearer is None or len(others.dearer.body) > len(answer.body)
    assert others.file is None or others.file.mode == "avif"


def test_lossless_is_lossless() -> None:
    assert np.array_equal(pixels_of(file_of(chart(), "webp", LOSSLESS)), chart())
