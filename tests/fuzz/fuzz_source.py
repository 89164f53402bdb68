"""Damages image files of every format and opens them as the encoder does: anything but a `Source` or a `Skip` is a
finding.

`python tests/fuzz/fuzz_source.py [COUNT] [SEED]` prints how many were opened and why the others were skipped.
"""

import io
import random
import sys
import time
from collections import Counter

import numpy as np
from PIL import Image

from proxy.encode.source import Source, open_source

MAX_PIXELS = 4_000_000


def seeds() -> list[bytes]:
    """Small files of many formats, modes and features."""
    grid = np.mgrid[:48, :64]
    pixels = np.stack([grid[0] * 5, grid[1] * 4, grid[0] + grid[1]], axis=2).astype(np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    plain: list[tuple[Image.Image, str, dict[str, object]]] = [
        (image, "JPEG", {"quality": 80, "exif": exif.tobytes()}),
        (image, "JPEG", {"progressive": True}),
        (image.convert("CMYK"), "JPEG", {}),
        (image, "PNG", {}),
        (image.convert("P"), "PNG", {"transparency": 3}),
        (image.convert("RGBA"), "PNG", {}),
        (Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), "PNG", {}),
        (image, "WEBP", {"quality": 60}),
        (image, "WEBP", {"lossless": True}),
        (image, "AVIF", {"quality": 50}),
        (image.convert("P"), "GIF", {}),
        (image, "GIF", {"save_all": True, "append_images": [image.rotate(90)]}),
        (image, "PNG", {"save_all": True, "append_images": [image.rotate(90)]}),
        (image, "BMP", {}),
    ]
    files = []
    for picture, name, options in plain:
        out = io.BytesIO()
        picture.save(out, name, **options)
        files.append(out.getvalue())
    return files


def damage(file: bytes, chance: random.Random) -> bytes:
    """`file` with bytes changed (headers more often), removed, repeated, or cut."""
    data = bytearray(file)
    for _ in range(chance.choice((1, 1, 2, 4, 12))):
        reach = len(data) if chance.random() < 0.5 else min(len(data), 120)
        at = chance.randrange(max(reach, 1))
        match chance.randrange(5):
            case 0:
                data[at : at + 1] = bytes((chance.randrange(256),))
            case 1:
                data[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\1"))
            case 2:
                del data[at : at + chance.randint(1, 30)]
            case 3:
                data[at:at] = data[at : at + chance.randint(1, 60)]
            case _:
                if chance.random() < 0.3:
                    del data[at:]
    return bytes(data)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    chance = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    files, outcomes, start = seeds(), Counter[str](), time.monotonic()
    for _ in range(count):
        answer = open_source(damage(chance.choice(files), chance), MAX_PIXELS)
        outcomes["opened" if isinstance(answer, Source) else answer.reason.value] += 1
    told = ", ".join(f"{name} {number}" for name, number in outcomes.most_common())
    print(f"{count} inputs: {told}; no crash; {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
