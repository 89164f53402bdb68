"""What the chooser's floor is calibrated on: pictures of many qualities, each measured by the networks.

In: the calibration half. Out: a folder with every reconstruction (lossless) and `rows.jsonl`: how the picture was made,
its bytes, LPIPS-VGG and VGG16 similarity. What is there already is not made again. Refuses nothing.

The reference of the floor, AVIF at quality 20 and half the size, brought back to full size, is one of the rows. LPIPS
is a mean over the picture's places; here it is taken in the middle CROP_PX × CROP_PX of it, at an eighth of the cost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.choice.dataset import Example, pixels
from evaluation.metrics.measure import Measure
from proxy.bundle import Bundle, pack
from proxy.bundle.preview import render
from proxy.encode import classical
from proxy.encode.analyse import GENERATED, analyse
from proxy.encode.pictures import avif_picture, reduced

RGB = npt.NDArray[np.uint8]
Draw = Callable[[Sequence[Bundle]], list[RGB]]
THUMBNAILS = ((2, 18), (2, 30), (2, 42), (3, 36), (4, 45))  # (divisor, quality)
PREVIEWED = ((2, 20), (3, 30))
AVIFS, WEBPS = (5, 16), (12,)
REFERENCE = (2, 20)
CROP_PX = 256
MIN_SIDE_PX = 96


@dataclass(frozen=True, slots=True)
class Row:
    """One picture of one image. `family` is sketch, preview, avif or webp; `divisor` 1 means full size."""

    name: str
    family: str
    divisor: int
    quality: int
    size_bytes: int
    lpips_vgg: float
    vgg16: float
    engine: str = ""


def make(found: Sequence[Example], folder: Path, draw: Draw, engine: str, tick: Callable[[], None]) -> None:
    """Add what is missing to `folder`. The metrics' weights must be there (`ValueError`)."""
    folder.mkdir(parents=True, exist_ok=True)
    measures = Measure(), Measure()
    if "vgg16" not in measures[0].names:
        raise ValueError("calibration needs the metrics' weights; set SKETCHWIRE_METRIC_WEIGHTS to their folder")
    done = {_key(row) for row in rows(folder)}
    with (folder / "rows.jsonl").open("a", encoding="utf-8") as out:
        for example in found:
            true = pixels(example.data)
            if analyse(true, "JPEG").kind in GENERATED and min(true.shape[:2]) >= MIN_SIDE_PX:
                _one_image(example.name, true, folder, draw, engine, measures, done, out.write)
                out.flush()
            tick()


def rows(folder: Path) -> Iterator[Row]:
    """What was measured before."""
    file = folder / "rows.jsonl"
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            yield Row(**json.loads(line))


def picture(folder: Path, row: Row) -> RGB:
    """The reconstruction of a row."""
    with Image.open(folder / f"{_key(row)}.webp") as image:
        return np.asarray(image.convert("RGB"))


def _one_image(
    name: str, true: RGB, folder: Path, draw: Draw, engine: str, measures: tuple[Measure, Measure], done: set[str],
    write: Callable[[str], int],
) -> None:  # fmt: skip
    whole, middle = measures
    whole.against(true)
    middle.against(cropped(true))

    def enter(family: str, divisor: int, quality: int, size_bytes: int, drawn: Callable[[], RGB], by: str = "") -> None:
        row = Row(name, family, divisor, quality, size_bytes, 0.0, 0.0, by)
        if _key(row) in done:
            return
        image = drawn()
        found = middle(cropped(image), ("lpips_vgg",)) | whole(image, ("vgg16",))
        Image.fromarray(image).save(folder / f"{_key(row)}.webp", lossless=True, method=0)
        write(json.dumps(asdict(row) | {metric: round(value, 5) for metric, value in found.items()}) + "\n")

    for divisor, quality in (*THUMBNAILS, *PREVIEWED):
        bundle = thumbnail_bundle(true, divisor, quality)
        size = len(pack(bundle))
        if (divisor, quality) in THUMBNAILS:
            enter("sketch", divisor, quality, size, lambda b=bundle: draw([b])[0], engine)  # type: ignore[misc]
        if (divisor, quality) in PREVIEWED:
            enter("preview", divisor, quality, size, lambda b=bundle: render(b))  # type: ignore[misc]
    for kind, qualities in (("avif", AVIFS), ("webp", WEBPS)):
        for quality in qualities:
            file = classical.file_of(true, kind, quality)
            enter(kind, 1, quality, len(file.body), lambda f=file: classical.pixels_of(f))  # type: ignore[misc]


def thumbnail_bundle(true: RGB, divisor: int, quality: int) -> Bundle:
    """The bundle of a thumbnail at 1/`divisor` and nothing else."""
    height, width = true.shape[:2]
    return Bundle(width, height, 1, thumbnail=avif_picture(reduced(true, divisor), quality))


def cropped(image: RGB) -> RGB:
    """The middle of `image`, at most CROP_PX a side."""
    top, left = (max(0, (side - CROP_PX) // 2) for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + CROP_PX, left : left + CROP_PX])


def _key(row: Row) -> str:
    named = hashlib.sha256(row.name.encode()).hexdigest()[:12]
    return f"{named}-{row.family}-{row.divisor}-{row.quality}{'-' + row.engine if row.engine else ''}"
