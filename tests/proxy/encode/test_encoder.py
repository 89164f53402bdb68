import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage import data as samples

from proxy.bundle import MEDIA_TYPE, Depicted, Prompt, unpack
from proxy.bundle.preview import render
from proxy.encode import BUNDLE_MODES, Declined, Encoded, EncodeRequest, encode
from proxy.encode.quality import score
from proxy.policy import Reason


def file(image: Image.Image, format_: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def coffee() -> Image.Image:
    return Image.fromarray(samples.coffee())


def chart() -> Image.Image:
    image = Image.new("RGB", (600, 400), "white")
    draw = ImageDraw.Draw(image)
    for i, height in enumerate((120, 300, 210, 260, 90)):
        draw.rectangle((60 + i * 100, 380 - height, 130 + i * 100, 380), fill=(40, 90, 200))
    draw.line((40, 20, 40, 380, 580, 380), fill="black", width=2)
    return image


def test_a_photograph_becomes_a_small_bundle_that_looks_alike(coffee: Image.Image) -> None:
    original = file(coffee, quality=85)
    answer = encode(EncodeRequest(original))
    assert isinstance(answer, Encoded)
    assert answer.media_type == MEDIA_TYPE and answer.mode == "thumbnail" and answer.kind == "photograph"
    assert (answer.width_px, answer.height_px) == coffee.size
    assert len(answer.body) < 0.15 * len(original)
    shown = render(unpack(answer.body))
    assert score(np.asarray(coffee), shown) > 0.8
    assert set(answer.stage_ms) >= {"open", "analyse", "thumbnail", "measure"}


@pytest.mark.parametrize("mode", BUNDLE_MODES)
def test_an_explicit_mode_is_always_made(mode: str, coffee: Image.Image) -> None:
    for image in (coffee, chart(), Image.new("RGB", (1, 1)), Image.new("RGB", (900, 3), "red")):
        answer = encode(EncodeRequest(file(image, "PNG"), mode=mode, words="a cup of coffee"))
        assert isinstance(answer, Encoded) and answer.mode == mode
        bundle = unpack(answer.body)
        assert render(bundle).shape == (image.height, image.width, 3)
        assert (bundle.thumbnail is not None) == (mode in ("thumbnail", "salient"))
        assert (bundle.palette is not None) == (mode == "edges+palette")
        assert (bundle.prompt == Prompt("a cup of coffee")) == (mode not in ("thumbnail", "salient"))


def test_edges_stay_within_their_budget(coffee: Image.Image) -> None:
    answer = encode(EncodeRequest(file(coffee), mode="edges"))
    assert isinstance(answer, Encoded)
    bundle = unpack(answer.body)
    assert bundle.edges is not None
    assert (bundle.edges.width_px, bundle.edges.height_px) == (300, 200)
    assert 200 < len(bundle.edges.payload) < 1300


def test_words_that_downstream_holds_cost_one_byte(coffee: Image.Image) -> None:
    request = {"data": file(coffee), "mode": "prompt", "words": "a cup of coffee on a table"}
    sent = encode(EncodeRequest(**request))
    known = encode(EncodeRequest(**request, words_known_downstream=True))
    assert isinstance(sent, Encoded) and isinstance(known, Encoded)
    assert unpack(known.body).prompt == Prompt(None)
    assert len(known.body) < len(sent.body) - 15


def test_without_words_the_prompt_says_what_is_true(coffee: Image.Image) -> None:
    answer = encode(EncodeRequest(file(coffee), mode="prompt"))
    assert isinstance(answer, Encoded)
    prompt = unpack(answer.body).prompt
    assert prompt is not None and prompt.text is not None
    assert prompt.text.startswith("a photograph, mostly ") and "brown" in prompt.text


def test_a_text_engine_gets_the_words_in_auto() -> None:
    rocket = Image.fromarray(samples.rocket())
    for engine, has_prompt in (("diffusion", True), ("sketch", False)):
        answer = encode(EncodeRequest(file(rocket), words="a rocket", engine=engine))
        assert isinstance(answer, Encoded)
        bundle = unpack(answer.body)
        assert (bundle.prompt is not None, bundle.kind) == (has_prompt, Depicted.PHOTOGRAPH if has_prompt else None)


def test_the_same_file_gives_the_same_bundle(coffee: Image.Image) -> None:
    first, second = (encode(EncodeRequest(file(coffee))) for _ in range(2))
    assert isinstance(first, Encoded) and isinstance(second, Encoded)
    assert first.body == second.body


def animated() -> bytes:
    frames = [Image.new("RGB", (80, 80), colour) for colour in ("red", "green")]
    return file(frames[0], "GIF", save_all=True, append_images=frames[1:])


def half_transparent() -> bytes:
    image = Image.new("RGBA", (300, 200), (200, 10, 10, 255))
    image.putalpha(Image.linear_gradient("L").resize((300, 200)))
    return file(image, "PNG")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.TOO_SMALL),
        (b"GIF89a" + bytes(2000), Reason.BROKEN),
        (b"<html>" + b"x" * 2000, Reason.UNSUPPORTED_FORMAT),
        (half_transparent() + bytes(1024), Reason.ALPHA),
        (animated() + bytes(1024), Reason.ANIMATED),
        (file(chart(), "PNG") + bytes(1024), Reason.KIND),
        (file(chart(), quality=70), Reason.KIND),
        (file(Image.new("RGB", (2000, 1500), (250, 250, 250))), Reason.KIND),
    ],
)
def test_auto_declines_with_its_reason(data: bytes, reason: Reason) -> None:
    answer = encode(EncodeRequest(data))
    assert isinstance(answer, Declined)
    assert answer.reason is reason
    assert answer.detail


def test_a_truncated_photograph_is_broken(coffee: Image.Image) -> None:
    original = file(coffee)
    for share in (0.1, 0.5, 0.9):
        answer = encode(EncodeRequest(original[: int(len(original) * share)]))
        assert isinstance(answer, Declined) and answer.reason is Reason.BROKEN


def test_pixels_are_counted_before_anything_is_decoded() -> None:
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (20_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    answer = encode(EncodeRequest(header + bytes(2000), mode="thumbnail"))
    assert isinstance(answer, Declined)
    assert answer.reason in (Reason.TOO_MANY_PIXELS, Reason.BROKEN)
    small = encode(EncodeRequest(file(Image.new("RGB", (400, 300))), mode="thumbnail", max_pixels=1000))
    assert isinstance(small, Declined) and small.reason is Reason.TOO_MANY_PIXELS


def test_exif_rotation_is_applied_as_browsers_do(coffee: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by 90°
    answer = encode(EncodeRequest(file(coffee, exif=exif.tobytes())))
    assert isinstance(answer, Encoded)
    assert (answer.width_px, answer.height_px) == (coffee.height, coffee.width)
    upright = np.asarray(coffee.transpose(Image.Transpose.ROTATE_270))
    assert score(upright, render(unpack(answer.body))) > 0.8


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "I;16", "RGBA"])
def test_every_opaque_colour_mode_is_encoded(mode: str, coffee: Image.Image) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.asarray(coffee.convert("L")).astype(np.uint16) * 257)
    else:
        image = coffee.convert(mode)
    answer = encode(EncodeRequest(file(image, "JPEG" if mode == "CMYK" else "PNG"), mode="thumbnail"))
    assert isinstance(answer, Encoded)
    expected = coffee.convert("L").convert("RGB") if mode in ("L", "I;16") else coffee
    assert score(np.asarray(expected), render(unpack(answer.body))) > 0.75


def test_a_colour_profile_is_converted_not_carried(coffee: Image.Image) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = encode(EncodeRequest(file(coffee), mode="thumbnail"))
    for icc in (srgb, profile, b"not a profile"):
        answer = encode(EncodeRequest(file(coffee, icc_profile=icc), mode="thumbnail"))
        assert isinstance(answer, Encoded) and isinstance(plain, Encoded)
        assert abs(len(answer.body) - len(plain.body)) < 60


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="edges"):
        EncodeRequest(b"", mode="pencil")
