"""Pictures of every kind stay what they are: their size, colours, movement and transparency."""

from __future__ import annotations

import gzip
import io
import struct
import time
import zlib

import imagecodecs
import numpy as np
from PIL import Image, ImageCms

from proxy.encode.animate import Timing, timing
from proxy.sniff import sniff
from tests.conformance.origin import Fields, raw
from tests.conformance.rule import JPEG, PHOTO, opened, passes, picture, rewritten, rule, saved, shown, untouched
from tests.conformance.stand import Got, Stand


def typed(kind: str) -> Fields:
    return (("Content-Type", f"image/{kind}"),)


def moving(kind: str, frames: int = 4) -> bytes:
    turned = [picture(120, 80).rotate(90 * n) for n in range(frames)]
    more = {} if kind == "GIF" else {"loop": 0}
    return saved(turned[0], kind, save_all=True, append_images=turned[1:], duration=120, **more)


for _kind, _type in (("GIF", "gif"), ("WEBP", "webp"), ("PNG", "png"), ("AVIF", "avif")):
    _what = "APNG" if _kind == "PNG" else _kind

    @rule(f"moving-{_what.lower()}", f"An animated {_what} goes on moving: as many frames, as long", "FACTS")
    async def stays_moving(stand: Stand, kind: str = _kind, media_type: str = _type) -> None:
        body = moving(kind)
        got = await stand.ask(raw(200, typed(media_type), body))
        with Image.open(io.BytesIO(got.answer.body)) as image:
            assert image.n_frames == 4 and image.size == (120, 80)  # type: ignore[attr-defined]
            image.seek(1)
            image.load()
            assert image.info.get("duration") == 120


@rule(
    "moving-smaller",
    "An animated GIF is sent smaller where the browser shows animated WebP: the same frames, times and rounds",
    "FACTS",
)
async def smaller_moving(stand: Stand) -> None:
    frames = [picture(240, 160).rotate(7 * n) for n in range(6)]
    durations = [40, 80, 120, 300, 40, 900]
    body = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=2)
    got = await stand.ask(raw(200, typed("gif"), body))
    assert len(got.answer.body) < 0.6 * len(body) and sniff(got.answer.body) == got.answer.type
    assert timing(got.answer.body) == timing(body) == Timing(tuple(durations), 3)
    shown(got, frames[0])


@rule("moving-alpha", "An animation's transparency is the same in every frame, pixel by pixel", "FACTS")
async def moving_alpha(stand: Stand) -> None:
    frames = [see_through(size=(120, 80)).rotate(20 * n) for n in range(4)]
    body = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=90)
    got = await stand.ask(raw(200, typed("png"), body))
    assert timing(got.answer.body) == timing(body)
    with Image.open(io.BytesIO(body)) as before, Image.open(io.BytesIO(got.answer.body)) as after:
        for n in range(4):
            before.seek(n)
            after.seek(n)
            alphas = [np.asarray(each.convert("RGBA"))[..., 3] for each in (before, after)]
            assert np.array_equal(*alphas), n


@rule("moving-old-browser", "A browser that does not say it shows WebP gets an animation as it is", "RFC 9110 12.5.1")
async def old_browser_moving(stand: Stand) -> None:
    body = moving("GIF", 6)
    got = await stand.ask(raw(200, typed("gif"), body), accept="image/png,image/*;q=0.8,*/*;q=0.5")
    untouched(got, 200, typed("gif"), body)


def see_through(kind: str = "RGBA", size: tuple[int, int] = (300, 200)) -> Image.Image:
    image = picture(*size).convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, size[0]).astype(np.uint8), (size[1], 1))))
    return image if kind == "RGBA" else image.convert(kind)


def same_alpha(got: Got, like: Image.Image) -> None:
    image = opened(got.answer.body)
    assert got.answer.status == 200 and image.size == like.size
    wanted, found = (np.asarray(each.convert("RGBA"))[..., 3] for each in (like, image))
    assert np.array_equal(wanted, found), "another transparency"


@rule("alpha-png", "A PNG's transparency is the same, pixel by pixel", "FACTS")
async def alpha_png(stand: Stand) -> None:
    same_alpha(await stand.ask(raw(200, typed("png"), saved(see_through(), "PNG"))), see_through())


@rule("alpha-webp", "So is a WebP's", "FACTS")
async def alpha_webp(stand: Stand) -> None:
    file = saved(see_through(), "WEBP", quality=80)
    same_alpha(await stand.ask(raw(200, typed("webp"), file)), opened(file))


@rule("alpha-grey", "So is that of a grey PNG", "FACTS")
async def alpha_grey(stand: Stand) -> None:
    same_alpha(await stand.ask(raw(200, typed("png"), saved(see_through("LA"), "PNG"))), see_through("LA"))


@rule("alpha-palette", "So is that of a PNG with a palette", "FACTS")
async def alpha_palette(stand: Stand) -> None:
    image = see_through().quantize(64)
    file = saved(image, "PNG")
    same_alpha(await stand.ask(raw(200, typed("png"), file)), opened(file))


@rule("alpha-colour-key", "So is that of a PNG with one transparent colour", "FACTS")
async def alpha_key(stand: Stand) -> None:
    pixels = np.asarray(picture(300, 200)).copy()
    pixels[40:90, 50:150] = (255, 0, 255)
    file = saved(Image.fromarray(pixels), "PNG", transparency=(255, 0, 255))
    same_alpha(await stand.ask(raw(200, typed("png"), file)), opened(file))


@rule("alpha-old-browser", "It is also for a browser that knows neither WebP nor AVIF", "FACTS")
async def alpha_old(stand: Stand) -> None:
    got = await stand.ask(raw(200, typed("png"), saved(see_through(), "PNG")), accept="image/png,image/*;q=0.8")
    same_alpha(got, see_through())
    assert got.answer.type == "image/png"


@rule("colour-cmyk", "A CMYK JPEG is shown in its colours", "FACTS")
async def cmyk(stand: Stand) -> None:
    shown(await stand.ask(raw(200, JPEG, saved(picture(300, 200).convert("CMYK"), "JPEG"))), picture(300, 200))


@rule("colour-grey", "A grey JPEG stays grey", "FACTS")
async def grey(stand: Stand) -> None:
    image = picture(300, 200).convert("L")
    found = shown(await stand.ask(raw(200, JPEG, saved(image, "JPEG", quality=90))), image.convert("RGB"))
    pixels = np.asarray(found.convert("RGB").resize((30, 20)), np.int16)
    assert np.ptp(pixels, axis=2).max() < 24


@rule("colour-16-bit", "A PNG of 16 bits a channel is shown as it is", "PNG 3, 11.2.1; FACTS")
async def sixteen(stand: Stand) -> None:
    deep = np.asarray(picture(300, 200)).astype(np.uint16) * 257
    shown(await stand.ask(raw(200, typed("png"), imagecodecs.png_encode(deep))), picture(300, 200))


@rule("colour-profile", "A picture with a colour profile of its own keeps its colours on a screen", "ICC.1; FACTS")
async def profile(stand: Stand) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file = saved(picture(300, 200), "JPEG", quality=90, icc_profile=icc)
    shown(await stand.ask(raw(200, JPEG, file)), picture(300, 200))


@rule("colour-broken-profile", "A broken colour profile is no reason to show nothing", "FACTS")
async def broken_profile(stand: Stand) -> None:
    file = saved(picture(300, 200), "JPEG", quality=90, icc_profile=b"no profile" * 30)
    shown(await stand.ask(raw(200, JPEG, file)), picture(300, 200))


for _turn in (3, 6, 8):

    @rule(f"exif-{_turn}", f"A JPEG that EXIF says to turn (orientation {_turn}) stands upright", "EXIF 4.6.5; FACTS")
    async def turned(stand: Stand, turn: int = _turn) -> None:
        exif = Image.Exif()
        exif[0x0112] = turn
        file = saved(picture(300, 200), "JPEG", quality=90, exif=exif.tobytes())
        shown(await stand.ask(raw(200, JPEG, file)), opened(file))


@rule("exif-broken", "Broken EXIF is no reason to show nothing", "FACTS")
async def broken_exif(stand: Stand) -> None:
    file = saved(picture(300, 200), "JPEG", quality=90, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xff" * 90)
    shown(await stand.ask(raw(200, JPEG, file)), picture(300, 200))


@rule("jpeg-progressive", "A progressive JPEG is shown", "ITU T.81 G; FACTS")
async def progressive(stand: Stand) -> None:
    rewritten(await stand.ask(raw(200, JPEG, saved(picture(), "JPEG", progressive=True, quality=84))))


passes(
    "jpeg-cut", "A file that is cut short passes: browsers show the part that is there", "FACTS", body=PHOTO[:20_000]
)
passes("jpeg-broken", "A file with a broken head passes", "FACTS", body=PHOTO[:3] + b"\xff" * 2000 + PHOTO[2000:])
passes("lie-page", "A page that says it is an image passes", "WHATWG MIME Sniffing 7", body=b"<html>" + b"x" * 5000)
passes(
    "lie-svg",
    "An SVG that says it is a PNG passes",
    "WHATWG MIME Sniffing 7",
    typed("png"),
    body=b"<svg xmlns='http://www.w3.org/2000/svg'/>" + b" " * 2000,
)


@rule("lie-format", "A PNG that says it is a JPEG is shown", "WHATWG MIME Sniffing 6.1")
async def lying(stand: Stand) -> None:
    got = await stand.ask(raw(200, JPEG, saved(picture(300, 200), "PNG")))
    assert opened(got.answer.body).size == (300, 200)


passes(
    "format-svg",
    "SVG passes",
    "FACTS",
    typed("svg+xml"),
    body=b"<svg xmlns='http://www.w3.org/2000/svg'>" + b"<path d='M0 0h9'/>" * 100 + b"</svg>",
)
passes(
    "format-svgz",
    "Compressed SVG passes",
    "FACTS",
    (*typed("svg+xml"), ("Content-Encoding", "gzip")),
    body=gzip.compress(bytes(range(256)) * 20 + b"<svg/>"),
)
_ICO = saved(picture(64, 64), "ICO", sizes=[(16, 16), (32, 32), (64, 64)])
passes("format-ico", "An icon passes", "FACTS", typed("x-icon"), body=_ICO)
passes("format-tiff", "TIFF passes", "FACTS", typed("tiff"), body=saved(picture(300, 200), "TIFF", compression="jpeg"))
_HEIC = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic") + bytes(range(256)) * 20
passes("format-heic", "HEIC passes", "FACTS", typed("heic"), body=_HEIC)
passes(
    "format-jxl",
    "JPEG XL passes",
    "FACTS",
    typed("jxl"),
    body=imagecodecs.jpegxl_encode(np.asarray(picture(300, 200)), distance=2.0),
)


@rule("format-bmp", "BMP is shown", "FACTS")
async def bmp(stand: Stand) -> None:
    shown(await stand.ask(raw(200, typed("bmp"), saved(picture(300, 200), "BMP"))), picture(300, 200))


def png_of(width: int, height: int, data: bytes) -> bytes:
    """A grey PNG that says it is this large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bomb(side: int = 20_000) -> bytes:
    """A valid PNG of `side`² pixels in a small file."""
    coder = zlib.compressobj(1)
    row = bytes(side + 1)
    data = b"".join(coder.compress(row * 100) for _ in range(side // 100)) + coder.flush()
    return png_of(side, side, data)


@rule("bomb-declared", "A PNG of 20000×20000 passes within a second", "FACTS")
async def bomb_declared(stand: Stand) -> None:
    body, seconds = bomb(), []
    path = stand.place(raw(200, typed("png"), body))
    for _ in range(3):  # the best of three, for machines that do other things as well
        began = time.monotonic()
        untouched(await stand.ask(path=path), 200, typed("png"), body)
        seconds.append(time.monotonic() - began)
        if seconds[-1] < 1.0:
            return
    raise AssertionError(f"{min(seconds):.2f} s")


passes(
    "bomb-hidden",
    "A PNG whose data grow far beyond its declared size passes or is shown, and nothing falls over",
    "FACTS",
    typed("png"),
    body=png_of(16, 16, zlib.compress(bytes(64 << 20), 9)) + bytes(64),
)
passes("bomb-flat", "A PNG of 2147483647×1 passes", "FACTS", typed("png"), body=png_of(2**31 - 1, 1, bytes(2000)))
passes("bomb-nothing", "A PNG of 0×0 passes", "FACTS", typed("png"), body=png_of(0, 0, bytes(2000)))


@rule("format-panorama", "A picture much wider than high keeps its size", "FACTS")
async def panorama(stand: Stand) -> None:
    like = picture(2000, 40)
    shown(await stand.ask(raw(200, JPEG, saved(like, "JPEG", quality=92))), like)
