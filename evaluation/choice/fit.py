"""Fits the floor's models to the networks' figures, and sets its margins so that what passes is good enough.

In: a folder that `evaluation.choice.candidates` filled. Out: a `Calibration`, and how well it fits images that it was
not fitted to (folds by image). Refuses: folders with pictures of fewer than MIN_IMAGES images (`ValueError`).

Linear models by ridge regression; VGG16's predicts the logarithm of the distance 1 − similarity.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evaluation.choice import candidates
from evaluation.choice.candidates import REFERENCE, Row, cropped, picture, rows
from evaluation.choice.dataset import Example, pixels
from proxy.bundle.preview import render
from proxy.encode.floor import DRAWN, FLOORS, MEASURED, SKETCH, Calibration, Judge, scale_terms, terms
from proxy.encode.request import BALANCED

Vector = npt.NDArray[np.float64]
RIDGE = 0.1
FOLDS = 5
MIN_IMAGES = 8
WANTED = 0.85  # of pictures right at the floor must truly be above it; most that are sent are further above
_NEAR = 0.07


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture: its features as itself, and for the engine's also those of the preview it is predicted from."""

    row: Row
    small: Vector
    full: Vector
    preview_small: Vector | None = None
    preview_full: Vector | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """A calibration, and per head the correlation with the network's figure and the mean error, across folds."""

    calibration: Calibration
    pearson: dict[str, float]
    spearman: dict[str, float]
    error: dict[str, float]
    images: int
    pictures: int


def samples(found: Sequence[Example], folder: Path, engine: str) -> list[Sample]:
    """The features of every picture in `folder` of the images `found`, drawn by `engine` or by none."""
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows(folder):
        if row.engine in ("", engine):
            by_name[row.name].append(row)
    made: list[Sample] = []
    for example in found:
        if example.name not in by_name:
            continue
        true = pixels(example.data)
        whole, middle = Judge(true, BALANCED, fitted=_NOTHING), Judge(cropped(true), BALANCED, fitted=_NOTHING)
        for row in by_name[example.name]:
            drawn = picture(folder, row)
            features = whole.features(drawn)[0], middle.features(cropped(drawn))[1]
            if row.family != SKETCH:
                made.append(Sample(row, *features))
                continue
            preview = render(candidates.thumbnail_bundle(true, row.divisor, row.quality))
            seen = whole.features(preview)[0], middle.features(cropped(preview))[1]
            made.append(Sample(row, *features, *seen))
    return made


def fit(found: Sequence[Sample], engine: str) -> Fit:
    """The calibration of all samples, judged by folds. Raises ValueError."""
    names = sorted({sample.row.name for sample in found})
    if len(names) < MIN_IMAGES:
        raise ValueError(f"pictures of {len(names)} images are too few to calibrate with; at least {MIN_IMAGES}")
    heads = {name: _solve(found, name) for name in HEADS}
    pearson, spearman, error = {}, {}, {}
    for name in HEADS:
        true, guessed = _folded(found, name)
        pearson[name] = float(np.corrcoef(true, guessed)[0, 1])
        spearman[name] = float(np.corrcoef(_ranks(true), _ranks(guessed))[0, 1])
        error[name] = float(np.mean(np.abs(true - guessed)))
    margins = {DRAWN: _margins(found, True), MEASURED: _margins(found, False)}
    rounded = {name: [round(float(w), 5) for w in weights] for name, weights in heads.items()}
    return Fit(Calibration(engine, rounded, margins), pearson, spearman, error, len(names), len(found))


HEADS = ("vgg16", "lpips", f"{SKETCH} vgg16", f"{SKETCH} lpips")
_NOTHING = Calibration("", {}, {})


def _design(sample: Sample, head: str) -> Vector | None:
    """The terms of a sample in a head; None if it has no place there."""
    predicts = head.startswith(SKETCH)
    if predicts and sample.preview_small is None:
        return None
    small = sample.preview_small if predicts else sample.small
    full = sample.preview_full if predicts else sample.full
    chosen = small if head.endswith("vgg16") else full
    assert chosen is not None
    return terms(chosen, scale_terms(sample.row.divisor, sample.row.quality) if predicts else ())


def _target(sample: Sample, head: str) -> float:
    return float(np.log(max(1 - sample.row.vgg16, 1e-3))) if head.endswith("vgg16") else sample.row.lpips_vgg


def _solve(found: Sequence[Sample], head: str) -> Vector:
    pairs = [(design, _target(s, head)) for s in found if (design := _design(s, head)) is not None]
    x, y = np.stack([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    scale = np.maximum(x.std(axis=0), 1e-9)
    scale[0] = 1.0
    scaled = x / scale
    penalty = RIDGE * len(y) * np.eye(x.shape[1])
    penalty[0, 0] = 0.0
    return np.asarray(np.linalg.solve(scaled.T @ scaled + penalty, scaled.T @ y) / scale, np.float64)


def _fold(name: str) -> int:
    return hashlib.sha256(name.encode()).digest()[5] % FOLDS


def _guess(sample: Sample, head: str, weights: Vector) -> float:
    design = _design(sample, head)
    assert design is not None
    value = float(design @ weights)
    return 1 - float(np.exp(value)) if head.endswith("vgg16") else value


def _folded(found: Sequence[Sample], head: str) -> tuple[Vector, Vector]:
    """(the networks' figures, the estimates of models that have not seen the image)."""
    true, guessed = [], []
    for fold in range(FOLDS):
        inside = [s for s in found if _fold(s.row.name) == fold and _design(s, head) is not None]
        if not inside:
            continue
        weights = _solve([s for s in found if _fold(s.row.name) != fold], head)
        true += [s.row.vgg16 if head.endswith("vgg16") else s.row.lpips_vgg for s in inside]
        guessed += [_guess(s, head, weights) for s in inside]
    return np.array(true), np.array(guessed)


def _margins(found: Sequence[Sample], foretold: bool) -> tuple[float, float]:
    """(for VGG16, for LPIPS): by how much the estimates of models that have not seen the image are too good, at worst,
    for WANTED of the pictures about the floor of balanced; `foretold` from previews.
    """
    floor = FLOORS[BALANCED]
    prefix = f"{SKETCH} " if foretold else ""
    similar: list[float] = []
    nearer: list[float] = []
    for fold in range(FOLDS):
        inside = [s for s in found if _fold(s.row.name) == fold]
        if not inside:
            continue
        outside = [s for s in found if _fold(s.row.name) != fold]
        heads = {name: _solve(outside, name) for name in HEADS}
        references = {
            s.row.name: s for s in inside if s.row.family == "preview" and (s.row.divisor, s.row.quality) == REFERENCE
        }
        for s in inside:
            reference = references.get(s.row.name)
            if reference is None or s is reference or (foretold and s.row.family != SKETCH):
                continue
            guess = _guess(s, prefix + "vgg16", heads[prefix + "vgg16"])
            if abs(guess - floor.vgg16) <= _NEAR:
                similar.append(guess - s.row.vgg16)
            gained = _guess(reference, "lpips", heads["lpips"]) - _guess(s, prefix + "lpips", heads[prefix + "lpips"])
            if abs(gained) <= _NEAR:
                nearer.append(gained - (reference.row.lpips_vgg - s.row.lpips_vgg))
    return _margin(similar), _margin(nearer)


def _margin(errors: Sequence[float]) -> float:
    return max(0.0, round(float(np.quantile(errors, WANTED)), 4)) if errors else 0.1


def _ranks(values: Vector) -> Vector:
    return np.asarray(np.argsort(np.argsort(values)), np.float64)
