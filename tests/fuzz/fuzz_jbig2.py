"""Feed random and damaged payloads to the JBIG2 decoder; compare a sample of the answers with the Python decoder's.

In: how many payloads and a seed. Out: one line with the counts; the first disagreement ends the run with its arguments.
Refuses: to run without the compiled coder, whose memory safety is the question. To ask it of the sanitizers as well:

    CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover -g" python setup.py build_ext --inplace --force
    export LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc
    PYTHONPATH=. python tests/fuzz/fuzz_jbig2.py
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from proxy.bundle.jbig2.region import CODERS, Bitmap, decode, encode

FULL_SIDE_PX = 48


def a_bitmap(random: np.random.Generator) -> Bitmap:
    shape = random.integers(1, FULL_SIDE_PX, 2)
    bitmap: Bitmap = random.random(tuple(shape)) < random.choice([0, 0.02, 0.2, 0.5, 0.9, 1])
    if random.random() < 0.3:
        bitmap = np.repeat(bitmap, 3, axis=0)[: shape[0]]
    return bitmap


def damaged(payload: bytes, random: np.random.Generator) -> bytes:
    """Flip, insert, drop, repeat or cut a few bytes; 0xFF often, for stuffing and markers."""
    data = bytearray(payload)
    for _ in range(random.integers(0, 5)):
        at = int(random.integers(0, len(data) + 1))
        value = 0xFF if random.random() < 0.4 else int(random.integers(0, 256))
        match random.integers(0, 5):
            case 0 if at < len(data):
                data[at] = value
            case 1:
                data.insert(at, value)
            case 2:
                del data[at : at + int(random.integers(1, 9))]
            case 3:
                data[at:at] = data[: int(random.integers(1, 30))]
            case _:
                del data[at:]
    return bytes(data)


def a_payload(random: np.random.Generator, template: int, typical_prediction: bool) -> tuple[bytes, int, int]:
    """A payload and the size to decode it at, which need not be its own."""
    if random.random() < 0.4:
        data = random.integers(0, 256, random.integers(0, 200), np.uint8)
        data[random.random(data.size) < random.choice([0, 0.1, 0.6])] = 0xFF
        width_px, height_px = random.integers(1, FULL_SIDE_PX, 2)
        return data.tobytes(), int(width_px), int(height_px)
    bitmap = a_bitmap(random)
    height_px, width_px = bitmap.shape
    if random.random() < 0.1:
        width_px += int(random.integers(0, 9))
        height_px += int(random.integers(0, 9))
    return damaged(encode(bitmap, template, typical_prediction), random), width_px, height_px


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--compare-every", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if "c" not in CODERS:
        print("the C coder was not built: python setup.py build_ext --inplace", file=sys.stderr)
        return 2
    random = np.random.Generator(np.random.Philox(arguments.seed))
    pixels = compared = 0
    start_s = time.monotonic()
    for index in range(arguments.count):
        template, typical_prediction = int(random.integers(0, 4)), bool(random.integers(0, 2))
        payload, width_px, height_px = a_payload(random, template, typical_prediction)
        bitmap = decode(payload, width_px, height_px, template, typical_prediction, implementation="c")
        pixels += bitmap.size
        if bitmap.shape != (height_px, width_px) or bitmap.view(np.uint8).max() > 1:
            print(f"no bitmap: {payload.hex()} {width_px} {height_px} {template} {typical_prediction}", file=sys.stderr)
            return 1
        if index % arguments.compare_every == 0:
            compared += 1
            other = decode(payload, width_px, height_px, template, typical_prediction, implementation="python")
            again = encode(bitmap, template, typical_prediction, implementation="c")
            if not np.array_equal(bitmap, other) or again != encode(
                other, template, typical_prediction, implementation="python"
            ):
                print(
                    f"differ: {payload.hex()} {width_px} {height_px} {template} {typical_prediction}", file=sys.stderr
                )
                return 1
    print(
        f"{arguments.count} payloads, {pixels} pixels decoded in C, {compared} of them compared with Python: "
        f"0 crashes, 0 differences, {time.monotonic() - start_s:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
