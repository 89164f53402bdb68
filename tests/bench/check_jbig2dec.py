"""Let another program read our exports: Canny maps of all images of a folder, each template, both implementations.

In: a folder of images. Out: one line with the counts. Refuses: to call anything agreement that is not every pixel.
Needs jbig2dec (Debian: apt install jbig2dec).

    PYTHONPATH=. python tests/bench/check_jbig2dec.py FOLDER [--templates 2]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from proxy.bundle.jbig2 import export
from proxy.bundle.jbig2.region import CODERS, Bitmap


def half_size_canny(path: Path) -> Bitmap | None:
    gray = cv2.imdecode(np.frombuffer(path.read_bytes() or b"\0", np.uint8), cv2.IMREAD_GRAYSCALE)
    if gray is None:
        return None
    size = (max(1, gray.shape[1] // 2), max(1, gray.shape[0] // 2))
    half = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.Canny(np.asarray(half, np.uint8), 100, 200) > 0)


def read_with_jbig2dec(program: str, data: bytes, folder: Path) -> Bitmap:
    source, target = folder / "map.jb2", folder / "map.pbm"
    source.write_bytes(data)
    target.unlink(missing_ok=True)
    subprocess.run([program, "-q", "-t", "pbm", "-o", target, source], check=True, timeout=60)
    with Image.open(target) as image:
        return ~np.asarray(image)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--templates", type=int, nargs="+", default=[0, 1, 2, 3])
    arguments = parser.parse_args()
    program = shutil.which("jbig2dec")
    if program is None:
        print("jbig2dec is not installed (Debian: apt install jbig2dec)", file=sys.stderr)
        return 2
    images = files = agree = not_images = 0
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(path for path in arguments.folder.rglob("*") if path.is_file()):
            bitmap = half_size_canny(path)
            if bitmap is None:
                not_images += 1
                continue
            images += 1
            for template in arguments.templates:
                for typical_prediction in (False, True):
                    exports = {
                        name: export(bitmap, template, typical_prediction, implementation=name) for name in CODERS
                    }
                    for name, data in exports.items():
                        files += 1
                        if np.array_equal(read_with_jbig2dec(program, data, Path(scratch)), bitmap):
                            agree += 1
                        else:
                            print(f"differs: {path.name} template {template} {typical_prediction} {name}")
    print(
        f"{images} images ({not_images} other files), {files} exports by {' and '.join(CODERS)}: "
        f"jbig2dec agrees on {agree} of {files}"
    )
    return 0 if files and agree == files else 1


if __name__ == "__main__":
    sys.exit(main())
