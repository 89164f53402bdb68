"""Hostile and odd images, made from nothing but code, fixed seeds and pictures inside packages: the same every time.

In: nothing. Out: `corpus()`: over 300 files, each with a name and the type it claims. Refuses: files that are in no way
odd.
"""

from __future__ import annotations

import functools
import io
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import skimage
import sklearn.datasets
from PIL import Image, ImageCms

from tests.conformance.rule import picture, saved
from tests.conformance.rules.pictures import bomb, moving, png_of, see_through

SIZE = (160, 120)
_TYPES = {"jpg": "jpeg", "ico": "x-icon", "j2k": "jp2", "tif": "tiff", "apng": "png"}


@dataclass(frozen=True, slots=True)
class Odd:
    """A file, and what its origin says that it is."""

    name: str
    media_type: str
    data: bytes


def odd(name: str, kind: str, data: bytes) -> Odd:
    return Odd(name, f"image/{_TYPES.get(kind, kind)}", data)


def corpus() -> Iterator[Odd]:
    """Every file."""
    yield from _mutations()
    yield from _sizes_that_lie()
    yield from _bombs()
    yield from unusual()
    yield from _metadata()
    yield from _other_formats()
    yield from _from_packages()


@functools.cache
def _bases() -> dict[str, tuple[str, bytes]]:
    """name: (kind, file): one ordinary file of each kind, for others to be made of."""
    still = picture(*SIZE)
    deep = np.asarray(still).astype(np.uint16) * 257
    return {
        "jpeg": ("jpg", saved(still, "JPEG", quality=85)),
        "jpeg-progressive": ("jpg", saved(still, "JPEG", quality=85, progressive=True)),
        "png": ("png", saved(still, "PNG")),
        "png-palette": ("png", saved(still.quantize(64), "PNG")),
        "png-alpha": ("png", saved(see_through(size=SIZE), "PNG")),
        "png-16": ("png", imagecodecs.png_encode(deep)),
        "apng": ("png", moving("PNG")),
        "webp": ("webp", saved(still, "WEBP", quality=80)),
        "webp-lossless": ("webp", saved(still, "WEBP", lossless=True)),
        "webp-moving": ("webp", moving("WEBP")),
        "avif": ("avif", saved(still, "AVIF", quality=70)),
        "gif": ("gif", saved(still.quantize(64), "GIF")),
        "gif-moving": ("gif", moving("GIF")),
        "bmp": ("bmp", saved(still, "BMP")),
    }


def _mutations() -> Iterator[Odd]:
    for base, (kind, data) in _bases().items():
        chance = random.Random(base)
        for n, share in enumerate((0.02, 0.3, 0.7, 0.97)):
            yield odd(f"{base} cut {n}", kind, data[: int(len(data) * share)])
        for n in range(6):
            yield odd(f"{base} flipped {n}", kind, _flipped(data, chance, 1 << n))
        for n in range(2):
            yield odd(f"{base} swapped {n}", kind, _swapped(data, chance))
        at = chance.randrange(40, len(data) // 2)
        yield odd(f"{base} zeroed", kind, data[:at] + bytes(200) + data[at + 200 :])
        yield odd(f"{base} doubled", kind, data + data)
        yield odd(f"{base} with a tail", kind, data + b"<script>alert(1)</script>" * 50)
        yield odd(f"{base} inside out", kind, data[:32] + data[:31:-1])


def _flipped(data: bytes, chance: random.Random, times: int) -> bytes:
    found = bytearray(data)
    for _ in range(times):
        found[chance.randrange(8, len(found))] ^= 1 << chance.randrange(8)
    return bytes(found)


def _swapped(data: bytes, chance: random.Random) -> bytes:
    """Two pieces have changed places; of a PNG, two chunks with their right checksums."""
    if data.startswith(b"\x89PNG"):
        pieces, at = [], 8
        while at < len(data):
            size = 12 + int.from_bytes(data[at : at + 4], "big")
            pieces.append(data[at : at + size])
            at += size
        chance.shuffle(pieces)
        return data[:8] + b"".join(pieces)
    a, b = sorted(chance.sample(range(20, len(data) - 120), 2))
    return data[:a] + data[b : b + 100] + data[a + 100 : b] + data[a : a + 100] + data[b + 100 :]


def _sizes_that_lie() -> Iterator[Odd]:
    """Headers that promise more, less or nothing."""
    bases = _bases()
    for width, height in ((0, 0), (0, 120), (1, 1), (161, 120), (65_535, 65_535), (2**31 - 1, 2**31 - 1)):
        png = bytearray(bases["png"][1])
        png[16:24] = struct.pack(">II", width, height)
        png[29:33] = struct.pack(">I", zlib.crc32(bytes(png[12:29])))
        yield odd(f"png of {width}×{height}", "png", bytes(png))
        bmp = bytearray(bases["bmp"][1])
        bmp[18:26] = struct.pack("<ii", width, -height if height > 1 else height)
        yield odd(f"bmp of {width}×−{height}", "bmp", bytes(bmp))
        narrow = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
        gif = bytearray(bases["gif"][1])
        gif[6:10] = narrow
        yield odd(f"gif of {width}×{height}", "gif", bytes(gif))
        jpeg = bytearray(bases["jpeg"][1])
        at = jpeg.index(b"\xff\xc0") + 5
        jpeg[at : at + 4] = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
        yield odd(f"jpeg of {width}×{height}", "jpg", bytes(jpeg))
        webp = bytearray(bases["webp"][1])
        webp[26:30] = struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)
        yield odd(f"webp of {width}×{height}", "webp", bytes(webp))
    for n, size in enumerate((0, 10, 2**31, 2**32 - 1)):
        riff = bytearray(bases["webp"][1])
        riff[4:8] = struct.pack("<I", size)
        yield odd(f"webp with a RIFF of {size} bytes", "webp", bytes(riff))
        avif = bytearray(bases["avif"][1])
        box = avif.index(b"meta") - 4
        avif[box : box + 4] = struct.pack(">I", size)
        yield odd(f"avif with a meta of {size} bytes", "avif", bytes(avif))
        png = bytearray(bases["png"][1])
        png[33:37] = struct.pack(">I", (size + n) & 0xFFFFFFFF)
        yield odd(f"png with a chunk of {size} bytes", "png", bytes(png))


def _bombs() -> Iterator[Odd]:
    yield odd("png bomb 20000×20000", "png", bomb())
    yield odd("png bomb 6000×6000", "png", bomb(6000))
    yield odd("png whose data never end", "png", png_of(16, 16, zlib.compress(bytes(64 << 20), 9)))
    text = struct.pack(">I", 0) + b"zTXt"
    packed = b"Comment\0\0" + zlib.compress(bytes(32 << 20), 9)
    chunk = struct.pack(">I", len(packed)) + text[4:] + packed + struct.pack(">I", zlib.crc32(b"zTXt" + packed))
    png = _bases()["png"][1]
    yield odd("png with a compressed text of 32 MB", "png", png[:33] + chunk + png[33:])
    packed = b"icc\0\0" + zlib.compress(bytes(32 << 20), 9)
    chunk = struct.pack(">I", len(packed)) + b"iCCP" + packed + struct.pack(">I", zlib.crc32(b"iCCP" + packed))
    yield odd("png with a profile of 32 MB", "png", png[:33] + chunk + png[33:])
    flat = Image.new("L", (12_000, 12_000))
    yield odd("tiff bomb", "tif", saved(flat, "TIFF", compression="tiff_adobe_deflate"))
    yield odd(
        "webp of 4000×4000 in one colour", "webp", saved(Image.new("RGB", (4000, 4000), "red"), "WEBP", lossless=True)
    )
    yield odd("gif of 10,000 frames", "gif", gif_of_frames(10_000))
    frames = bytearray(moving("PNG"))
    at = frames.index(b"acTL")
    frames[at + 4 : at + 8] = struct.pack(">I", 100_000)
    frames[at + 12 : at + 16] = struct.pack(">I", zlib.crc32(bytes(frames[at : at + 12])))
    yield odd("apng that says it has 100,000 frames", "png", bytes(frames))
    inner = saved(Image.new("RGB", (3000, 3000), "blue"), "PNG")
    yield odd("jpeg of 1 component, 8000×8000", "jpg", saved(Image.new("L", (8000, 8000), 90), "JPEG", quality=10))
    for depth in (1, 2, 5):
        inner = ico_of(inner)
        yield odd(f"ico in an ico, {depth} deep", "ico", inner)
    yield odd(
        "gif of one pixel on a screen of 60000×60000",
        "gif",
        b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + gif_of_frames(1)[10:],
    )


def gif_of_frames(count: int) -> bytes:
    """A GIF of 16×16 px whose second frame is repeated."""
    stills = [picture(16, 16).rotate(turn) for turn in (0, 90)]
    data = saved(stills[0], "GIF", save_all=True, append_images=stills[1:], duration=120)
    first = data.index(b"\x21\xf9\x04")
    second = data.index(b"\x21\xf9\x04", first + 4)
    return data[:second] + data[second:-1] * max(count - 1, 0) + b";"


def ico_of(inner: bytes) -> bytes:
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(inner), 22) + inner


def unusual() -> Iterator[Odd]:
    """Valid, and seldom seen."""
    still = picture(*SIZE)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        deep = Image.fromarray(np.asarray(still.convert("L")).astype(np.uint16) * 257)
        yield odd(f"png of mode {mode}", "png", saved(deep if mode == "I;16" else still.convert(mode), "PNG"))
    for mode in ("L", "CMYK", "RGB"):
        for sampling in ("4:4:4", "4:2:2", "4:2:0"):
            file = saved(still.convert(mode), "JPEG", quality=80, subsampling=sampling)
            yield odd(f"jpeg of mode {mode}, {sampling}", "jpg", file)
    for size in ((1, 1), (1, 900), (900, 1), (2, 3), (7, 7), (63, 65), (1, 4000), (3000, 2)):
        yield odd(f"png of {size[0]}×{size[1]} px", "png", saved(picture(*size), "PNG"))
        yield odd(f"jpeg of {size[0]}×{size[1]} px", "jpg", saved(picture(*size), "JPEG", quality=95))
    for colour in ("black", "white", "red"):
        yield odd(f"jpeg all {colour}", "jpg", saved(Image.new("RGB", (640, 480), colour), "JPEG"))
        yield odd(f"png all {colour}", "png", saved(Image.new("RGB", (640, 480), colour), "PNG"))
    noise = np.random.Generator(np.random.Philox(1)).integers(0, 256, (200, 200, 4), np.uint8)
    yield odd("png of noise", "png", saved(Image.fromarray(noise[..., :3]), "PNG"))
    yield odd("png of noise with alpha", "png", saved(Image.fromarray(noise), "PNG"))
    yield odd("jpeg of noise", "jpg", saved(Image.fromarray(noise[..., :3]), "JPEG", quality=95))
    for bits in (2, 16, 200, 256):
        yield odd(f"png of {bits} colours with alpha", "png", saved(see_through(size=SIZE).quantize(bits), "PNG"))
    clear = see_through(size=SIZE)
    clear.putalpha(0)
    yield odd("png that is all transparent", "png", saved(clear, "PNG"))
    yield odd("png with an alpha that is all opaque", "png", saved(still.convert("RGBA"), "PNG"))
    yield odd("jpeg with restarts", "jpg", saved(still, "JPEG", restart_marker_rows=1))
    yield odd("webp with alpha", "webp", saved(see_through(size=SIZE), "WEBP", quality=70))
    yield odd("avif with alpha", "avif", saved(see_through(size=SIZE), "AVIF", quality=70))
    yield odd("avif that moves", "avif", moving("AVIF"))
    yield odd("jpeg of quality 1", "jpg", saved(picture(600, 400), "JPEG", quality=1))
    yield odd("a jpeg that says it is a gif", "gif", saved(still, "JPEG"))
    yield odd("a gif that says it is a webp", "webp", _bases()["gif"][1])
    yield odd("a page", "png", b"<!doctype html><script>" + b"x" * 4000)
    yield odd("nothing but zeros", "jpg", bytes(5000))
    yield odd("a signature and no more", "png", b"\x89PNG\r\n\x1a\n" + bytes(3000))
    yield odd("a zip", "jpg", b"PK\3\4" + bytes(range(256)) * 20)


def _metadata() -> Iterator[Odd]:
    """Profiles and EXIF, right and wrong."""
    still = picture(*SIZE)
    for turn in range(10):
        exif = Image.Exif()
        exif[0x0112] = turn
        yield odd(f"jpeg of orientation {turn}", "jpg", saved(still, "JPEG", exif=exif.tobytes()))
    exif = Image.Exif()
    exif[0x0112] = 6
    yield odd("webp of orientation 6", "webp", saved(still, "WEBP", exif=exif.tobytes()))
    yield odd("png of orientation 6", "png", saved(still, "PNG", exif=exif))
    yield odd("avif of orientation 6", "avif", saved(still, "AVIF", exif=exif.tobytes()))
    for n, junk in enumerate((b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 99, b"\xff" * 999)):
        yield odd(f"jpeg with broken EXIF {n}", "jpg", saved(still, "JPEG", exif=b"Exif\0\0" + junk))
    for kind in ("sRGB", "LAB", "XYZ"):
        icc = ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()  # type: ignore[arg-type]
        yield odd(f"jpeg with a profile of {kind}", "jpg", saved(still, "JPEG", icc_profile=icc))
        yield odd(f"png with a profile of {kind}", "png", saved(still, "PNG", icc_profile=icc))
        yield odd(f"grey jpeg with a profile of {kind}", "jpg", saved(still.convert("L"), "JPEG", icc_profile=icc))
        yield odd(f"cmyk jpeg with a profile of {kind}", "jpg", saved(still.convert("CMYK"), "JPEG", icc_profile=icc))
    for size in (1, 127, 3000, 200_000):
        yield odd(
            f"jpeg with a broken profile of {size} bytes", "jpg", saved(still, "JPEG", icc_profile=b"\xff" * size)
        )
    yield odd("jpeg with a comment of 60 kB", "jpg", saved(still, "JPEG", comment=b"c" * 60_000))
    many = io.BytesIO(saved(still, "JPEG")).getvalue()
    segments = b"".join(b"\xff\xe5\0\x10" + bytes(14) for _ in range(3000))
    yield odd("jpeg with 3000 segments", "jpg", many[:2] + segments + many[2:])


def _other_formats() -> Iterator[Odd]:
    pixels = np.asarray(picture(*SIZE))
    yield odd("jpeg xl", "jxl", imagecodecs.jpegxl_encode(pixels, distance=1.0))
    yield odd("jpeg 2000", "j2k", imagecodecs.jpeg2k_encode(pixels, level=40))
    yield odd("jpeg-ls that says it is a jpeg", "jpg", imagecodecs.jpegls_encode(pixels[..., 0].copy()))
    yield odd("qoi", "qoi", imagecodecs.qoi_encode(pixels))
    for compression in ("raw", "tiff_lzw", "jpeg", "packbits"):
        yield odd(f"tiff, {compression}", "tif", saved(picture(*SIZE), "TIFF", compression=compression))
    yield odd("ico of three sizes", "ico", saved(picture(64, 64), "ICO", sizes=[(16, 16), (32, 32), (64, 64)]))
    yield odd(
        "ico with an offset past its end",
        "ico",
        struct.pack("<HHHBBBBHHII", 0, 1, 1, 8, 8, 0, 0, 1, 32, 999, 2**31) + bytes(2000),
    )
    yield odd("tga", "x-tga", saved(picture(*SIZE), "TGA"))
    yield odd("pcx", "x-pcx", saved(picture(*SIZE), "PCX"))
    yield odd("ppm", "x-portable-pixmap", saved(picture(*SIZE), "PPM"))


def _from_packages() -> Iterator[Odd]:
    """Photographs and textures that scikit-image and scikit-learn carry."""
    folders = (Path(skimage.__file__).parent / "data", Path(sklearn.datasets.__file__).parent / "images")
    for folder in folders:
        for file in sorted(folder.iterdir()):
            if file.suffix in (".png", ".jpg", ".gif", ".tif", ".bmp") and 1024 < file.stat().st_size < 700_000:
                yield odd(f"package: {file.name}", file.suffix[1:], file.read_bytes())
