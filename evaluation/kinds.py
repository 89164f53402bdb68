"""What kind each labelled image is told to be, and whether any is generated that must not be.

In: the folder of the evaluation sets (`web`, `kodak`, `cid22` in it; those that are there count), labels by file name
(`labels/<set>.json`, by eye). Out: a confusion table for all images and one for the held-out half, and every image that
would be generated against its kind. Refuses: folders without a labelled image (`ValueError`).

The half is fixed by a hash of the file's name: the thresholds of `proxy.encode.analyse` were read off the other half
and off training images; the weights of `proxy.encode.graphics` saw training images only. The sets hold no codes, no
empty pictures and few charts and maps, so some are made here (`made`) and counted apart.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.made_maps import made_map
from proxy.encode.analyse import GENERATED, Kind, analyse
from proxy.encode.salient import detect, warm
from proxy.encode.salient.verdict import verdict
from proxy.encode.source import open_source
from proxy.policy import Reason, Skip

RGB = npt.NDArray[np.uint8]

SETS = ("web", "kodak", "cid22")
LABELS = Path(__file__).parent / "labels"
_KIND_OF = {"title-card": Kind.GRAPHIC, "logo": Kind.GRAPHIC, "text-heavy": Kind.TEXT}
MADE_SIDES_PX = (96, 160, 320, 640)


@dataclass(frozen=True, slots=True)
class Told:
    """One image: its labelled kind, the kind it is told to be ("alpha" when it is not opaque, and so never drawn
    again), by pixels alone and with the detectors, and what that cost.
    """

    file: str
    labelled: Kind
    pixels: str
    told: str
    cpu_ms: float

    @property
    def held_out(self) -> bool:
        """Whether it is in the half that no threshold was read off."""
        return hashlib.sha256(self.file.encode()).digest()[0] % 2 == 1

    @property
    def generated(self) -> bool:
        """Whether a model would draw it."""
        return self.told in GENERATED


def kind_of_label(label: str) -> Kind:
    """The kind that a label of `labels/*.json` means."""
    return _KIND_OF.get(label) or Kind(label)


def tell(name: str, data: bytes, labelled: Kind) -> Told:
    """What the encoder takes the image in `data` for, its detectors included."""
    source = open_source(data, 100_000_000)
    if isinstance(source, Skip):
        kind = "alpha" if source.reason is Reason.ALPHA else str(source.reason)
        return Told(name, labelled, kind, kind, 0.0)
    start = time.process_time()
    analysis = analyse(source.rgb, source.format)
    told = analysis.kind
    if told in GENERATED:
        height, width = source.rgb.shape[:2]
        other = verdict(analysis, detect(source.rgb), width, height)
        told = other.kind if other else told
    return Told(name, labelled, str(analysis.kind), str(told), (time.process_time() - start) * 1000)


def labelled_images(data: Path, labels: Path = LABELS) -> Iterator[Told]:
    """Every labelled image below `data`."""
    for name in SETS:
        known = json.loads((labels / f"{name}.json").read_text(encoding="utf-8"))
        for file, label in sorted(known.items()):
            path = data / name / file
            if path.is_file():
                yield tell(f"{name}/{file}", path.read_bytes(), kind_of_label(label["kind"]))


def made() -> Iterator[Told]:
    """Codes, empty pictures, beacons and maps, drawn here, at several sizes, as PNG and as JPEG."""
    for side in MADE_SIDES_PX:
        for name, kind, rgb in _drawn(side):
            for file_format in ("PNG", "JPEG"):
                out = io.BytesIO()
                Image.fromarray(rgb).save(out, file_format, quality=80)
                yield tell(f"{name}-{side}.{file_format.lower()}", out.getvalue(), kind)


def _drawn(side: int) -> Iterator[tuple[str, Kind, RGB]]:
    for number in range(3):
        modules = cv2.QRCodeEncoder.create().encode(f"https://example.org/{'ticket' * number}/{side}")
        quiet = cv2.copyMakeBorder(modules, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=255)
        code = cv2.resize(quiet, (side, side), interpolation=cv2.INTER_AREA)
        yield f"code{number}", Kind.CODE, np.asarray(cv2.cvtColor(code, cv2.COLOR_GRAY2RGB), np.uint8)
        picture = made_map(1000 + 10 * side + number)
        scale = side / max(picture.shape[:2])
        resized = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if side >= 320:
            yield f"map{number}", Kind.MAP, np.asarray(resized, np.uint8)
    ramp = np.linspace(200, 230, side, dtype=np.float32).round().astype(np.uint8)
    yield "plain", Kind.EMPTY, np.full((side, side, 3), (245, 245, 240), np.uint8)
    yield "ramp", Kind.EMPTY, np.repeat(np.repeat(ramp[:, None, None], side, axis=1), 3, axis=2)
    yield "spacer", Kind.TRACKING, np.full((1, side, 3), 255, np.uint8)


def confusion(images: Iterable[Told]) -> list[str]:
    """The table's lines: labelled kinds down, told kinds across."""
    counts = Counter((image.labelled, image.told) for image in images)
    rows = [kind for kind in Kind if any(labelled is kind for labelled, _ in counts)]
    columns = list(dict.fromkeys(told for kind in [*Kind, "alpha"] for _, told in counts if told == kind))
    columns += [told for _, told in counts if told not in columns]
    lines = [" " * 13 + "".join(f"{column[:11]:>13}" for column in columns)]
    for kind in rows:
        lines.append(f"{kind:13}" + "".join(f"{counts[kind, column] or '·':>13}" for column in columns))
    right = sum(count for (labelled, told), count in counts.items() if labelled == told)
    return [*lines, f"told right: {right} of {counts.total()}{_percent(right, counts.total())}"]


def never(images: Sequence[Told]) -> list[str]:
    """How many images that must not be generated would be, and which."""
    guarded = [image for image in images if image.labelled not in GENERATED]
    wrong = [image for image in guarded if image.generated]
    lines = [f"generated although no photograph or illustration: {len(wrong)} of {len(guarded)}"]
    lines += [f"GENERATED although {image.labelled}: {image.file}" for image in wrong]
    drawn = [image for image in images if image.labelled in GENERATED]
    kept = Counter(image.told for image in drawn if not image.generated)
    spared = ", ".join(f"{kind} {count}" for kind, count in kept.most_common())
    return [*lines, f"photographs and illustrations left as real pixels: {kept.total()} of {len(drawn)} ({spared})"]


def report(images: Sequence[Told]) -> list[str]:
    """The lines to print for the sets' images."""
    lines = [f"all {len(images)} images; labelled kinds down, told kinds across", *confusion(images), *never(images)]
    held_out = [image for image in images if image.held_out]
    lines += ["", f"the held-out half, {len(held_out)} images", *confusion(held_out), *never(held_out)]
    return lines


def _percent(part: int, whole: int) -> str:
    return f" = {part / whole:.0%}" if whole else ""


def run(data: Path, labels: Path = LABELS) -> list[str]:
    """The whole report. Raises ValueError when no labelled image lies in `data`."""
    cv2.setNumThreads(1)
    warm()
    images = list(labelled_images(data, labels))
    if not images:
        raise ValueError(f"none of the labelled images is in {', '.join(SETS)} below {data}")
    drawn = list(made())
    return [*report(images), "", f"{len(drawn)} pictures made here", *confusion(drawn), *never(drawn)]


def main() -> None:
    """Print the report of the sets below --data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets web, kodak, cid22")
    options = parser.parse_args()
    try:
        print("\n".join(run(options.data)))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
