"""Measure the JBIG2 coder on Canny maps: median CPU milliseconds and bytes for each template.

In: a folder of images (without one, scikit-image's coffee and astronaut). Out: a table for maps with a long side of
1024 and of 512 pixels. Refuses: a folder without images; other files in it are passed over.

    PYTHONPATH=. python tests/bench/bench_jbig2.py [FOLDER] [--implementation python]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from proxy.bundle.jbig2.region import CODERS, IMPLEMENTATION, Bitmap, decode, encode

Gray = npt.NDArray[np.uint8]


def gray_images(folder: Path | None) -> Iterator[Gray]:
    if folder is None:
        from skimage import data

        for sample in ("coffee", "astronaut"):
            rgb = getattr(data, sample)()
            yield np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        return
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        image = cv2.imdecode(np.frombuffer(path.read_bytes() or b"\0", np.uint8), cv2.IMREAD_GRAYSCALE)
        if image is not None:
            yield np.asarray(image, np.uint8)


def canny_map(gray: Gray, long_side_px: int) -> Bitmap:
    """Canny after scaling the long side; components under 20 pixels are dropped, as the encoder does."""
    height_px, width_px = gray.shape
    scale = long_side_px / max(height_px, width_px)
    size = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
    scaled = cv2.resize(gray, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    edges = cv2.Canny(scaled, 100, 200)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(edges, connectivity=8)
    return np.asarray((edges > 0) & (stats[labels, cv2.CC_STAT_AREA] >= 20))


def cpu_ms(work: object, *arguments: object, repeats: int, **named: object) -> float:
    assert callable(work)
    times_ms = []
    for _ in range(repeats):
        start_ns = time.process_time_ns()
        work(*arguments, **named)
        times_ms.append((time.process_time_ns() - start_ns) / 1e6)
    return statistics.median(times_ms)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--implementation", choices=list(CODERS), default=IMPLEMENTATION)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    images = list(gray_images(arguments.folder))
    if not images:
        print(f"no images in {arguments.folder}", file=sys.stderr)
        return 2
    print(f"{len(images)} images, {arguments.implementation} coder, medians; CPU ms of one map")
    print("long side  template  typical     bytes  encode ms  decode ms  sum ms")
    for long_side_px in (1024, 512):
        maps = [canny_map(image, long_side_px) for image in images]
        for template in range(4):
            for typical in (False, True):
                sizes, encode_ms, decode_ms = [], [], []
                for bitmap in maps:
                    height_px, width_px = bitmap.shape
                    how = {"implementation": arguments.implementation}
                    payload = encode(bitmap, template, typical, **how)
                    sizes.append(len(payload))
                    encode_ms.append(cpu_ms(encode, bitmap, template, typical, repeats=arguments.repeats, **how))
                    size = (width_px, height_px)
                    decode_ms.append(
                        cpu_ms(decode, payload, *size, template, typical, repeats=arguments.repeats, **how)
                    )
                medians = statistics.median(encode_ms), statistics.median(decode_ms)
                print(
                    f"{long_side_px:9d}  {template:8d}  {typical!s:>7}  {statistics.median(sizes):8.0f}"
                    f"  {medians[0]:9.2f}  {medians[1]:9.2f}  {sum(medians):6.2f}"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
