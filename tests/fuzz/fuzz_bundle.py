"""Mutates golden bundles, seals them with a right checksum, and parses them: anything but a BundleError is a finding.

`python tests/fuzz/fuzz_bundle.py [COUNT] [SEED]` prints how many inputs were parsed, refused and rendered. One in
RENDER_EVERY of the accepted small ones is also rendered, since the codecs behind it see hostile bytes too.
"""

import random
import sys
import time
import zlib
from pathlib import Path

from proxy.bundle import BundleError, unpack
from proxy.bundle.preview import render

GOLDEN = Path(__file__).parents[1] / "golden"
RENDER_EVERY = 20
MAX_RENDERED_PIXELS = 1_000_000


def mutate(body: bytes, chance: random.Random) -> bytes:
    """`body` with a few bytes changed, removed, repeated, swapped in from elsewhere, or a section appended."""
    data = bytearray(body)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at, kind = chance.randrange(len(data)), chance.randrange(6)
        if kind == 0:
            data[at] = chance.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del data[at : at + chance.randint(1, 9)]
        elif kind == 3:
            data[at:at] = data[at : at + chance.randint(1, 40)]
        elif kind == 4:
            data[at : at + 2] = chance.choice((b"\xff\xff", b"\0\0", b"\x80\x01", b"\xff\x7f"))
        else:
            data += bytes((chance.randrange(256), chance.randrange(20))) + chance.randbytes(chance.randrange(20))
        if not data:
            data = bytearray(b"\xf5SW\x01")
    return bytes(data)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    chance = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    bodies = [file.read_bytes()[:-4] for file in sorted(GOLDEN.glob("*.swb"))]
    accepted = rendered = unrendered = 0
    start = time.monotonic()
    for _ in range(count):
        body = mutate(chance.choice(bodies), chance)
        data = body + (zlib.crc32(body).to_bytes(4, "big") if chance.random() < 0.95 else chance.randbytes(4))
        try:
            bundle = unpack(data)
        except BundleError:
            continue
        accepted += 1
        if accepted % RENDER_EVERY == 0 and bundle.width_px * bundle.height_px <= MAX_RENDERED_PIXELS:
            try:
                render(bundle)
                rendered += 1
            except BundleError:
                unrendered += 1
    print(
        f"{count} inputs: {accepted} accepted, {count - accepted} refused; rendered {rendered}, "
        f"refused by a codec {unrendered}; no crash; {time.monotonic() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
