"""Measures the calibration half, fits the floor's models to it and writes proxy/encode/calibration.json.

In: folders of images and a folder to keep pictures in. Out: a `Fit`, and the file where asked. Refuses: runs without
the metrics' weights or with too few images (`ValueError`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from evaluation.choice import candidates, fit
from evaluation.choice.dataset import examples

CALIBRATION = Path(__file__).resolve().parents[2] / "proxy" / "encode" / "calibration.json"


def calibrate(
    data: Sequence[Path], kept: Path, draw: candidates.Draw, engine: str, limit: int, tick: Callable[[], None]
) -> fit.Fit:
    """The fit to the first `limit` images (0: all) of each folder's calibration half. Raises ValueError."""
    found = [example for folder in data for example in examples(folder, held=False, limit=limit)]
    candidates.make(found, kept, draw, engine, tick)
    return fit.fit(fit.samples(found, kept, engine), engine)


def write(fitted: fit.Fit, file: Path = CALIBRATION) -> None:
    """Write the calibration as the floor reads it."""
    file.write_text(json.dumps(asdict(fitted.calibration), indent=1) + "\n", encoding="utf-8")
