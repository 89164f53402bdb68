"""Damages classical files and has downstream's recoding read them: a picture or ValueError, nothing else.

    python -m tests.fuzz.fuzz_transcode [seconds]

In: seconds to run (60). Out: the number of files tried; stops at the first other exception, printing the file's bytes.
"""

from __future__ import annotations

import random
import sys
import time

import numpy as np

from proxy.encode.classical import file_of
from proxy.transcode import transcode


def _files() -> list[bytes]:
    rng = np.random.default_rng(0)
    rgb = np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    alpha = np.dstack((rgb, rng.integers(0, 256, rgb.shape[:2]).astype(np.uint8)))
    return [file_of(p, kind, q).body for p in (rgb, alpha) for kind, q in (("avif", 50), ("webp", 50), ("webp", 100))]


FILES = _files()


def attempt(body: bytes) -> bool:
    """Whether `body` became a picture."""
    try:
        transcode(body, "image/webp,*/*", "image/jpeg", 80)
    except ValueError:
        return False
    return True


def main() -> None:
    """Damage files until the time is over."""
    until_s = time.monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
    choose, tried, made = random.Random(1), 0, 0
    while time.monotonic() < until_s:
        body = bytearray(choose.choice(FILES))
        for _ in range(choose.randint(1, 6)):
            body[choose.randrange(len(body))] = choose.randrange(256)
        damaged = bytes(body[: choose.randint(1, len(body))] if choose.random() < 0.2 else body)
        try:
            made += attempt(damaged)
        except BaseException:
            print(damaged.hex())
            raise
        tried += 1
    print(f"{tried} files tried, {made} became pictures")


if __name__ == "__main__":
    main()
