"""Fits what tells rendered pictures from photographs, and their kinds from each other: `proxy/encode/graphics.json`.

In: the folder of the training shards (`train-*.tar`) and labels by file name (`labels/training.json`, by eye). Out:
the JSON file, and how well both are told in five-fold cross-validation. Refuses: shards without a labelled image
(`ValueError`). Never sees an image of the evaluation sets.

What is not labelled in PHOTO_SETS is a photograph; photographs that earlier weights took for rendered have labels. Maps
are rare in the shards, and night skies missing: MADE_MAPS and MADE_STARS drawn ones are added. Both regressions are
full-batch gradient descent with momentum: two thousand pictures, a hundred numbers each, nothing to tune but the decay.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from evaluation.made_maps import made_map
from evaluation.made_stars import made_stars
from proxy.encode import graphics
from proxy.encode.analyse import colour_shares, reduced, step_shares
from proxy.encode.source import open_source
from proxy.policy import Skip

LABELS = Path(__file__).parent / "labels" / "training.json"
WEIGHTS = Path(graphics.__file__).with_suffix(".json")
PHOTO_SETS = frozenset(
    ("based.cooking", "feedme-food", "magento", "clothing", "grocery", "ubuntu-mate", "deb-mate-backgrounds")
)
PHOTOGRAPH = -1
DECAY, RATE, MOMENTUM, STEPS = 0.005, 0.5, 0.9, 1500
FOLDS = 5
PRIOR = -0.5  # log odds: photographs are commoner than rendered pictures among what is taken for one at first
MADE_MAPS, MADE_STARS = 40, 30
Values = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]


def features_of(rgb: npt.NDArray[np.uint8]) -> Values:
    """The features of a picture, as `analyse` takes them."""
    small = reduced(rgb)
    return graphics.features(small, colour_shares(small), *step_shares(small))


def labelled(folder: Path, labels: Mapping[str, str]) -> Iterator[tuple[Values, int]]:
    """(features, index in NAMES or PHOTOGRAPH) of every labelled image and photograph in the shards of `folder`, as it
    is and `worn`, one after the other.
    """
    for shard in sorted(folder.glob("train-*.tar")):
        with tarfile.open(shard) as archive:
            index = archive.extractfile("index.jsonl")
            assert index is not None
            sets = {row["file"]: row["set"] for row in map(json.loads, index)}
            for member in archive:
                label = labels.get(member.name, "photograph" if sets.get(member.name) in PHOTO_SETS else "")
                held = archive.extractfile(member) if label in (*graphics.NAMES, "photograph") else None
                source = open_source(held.read(), 100_000_000) if held is not None else None
                if source is None or isinstance(source, Skip):
                    continue
                for rgb in (source.rgb, worn(source.rgb)):
                    yield features_of(rgb), PHOTOGRAPH if label == "photograph" else graphics.NAMES.index(label)


def worn(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """`rgb` as the web often has it: smaller, and a JPEG."""
    small = cv2.resize(rgb, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], 1), np.uint8)


def regression(rows: Values, targets: Values, power: float) -> Values:
    """The weights (n + 1, classes) of a softmax regression of one-hot `targets` on `rows`; a class of m pictures
    weighs m^(1 - power).
    """
    importance = (np.maximum(targets.sum(axis=0), 1) ** -power)[np.argmax(targets, axis=1)]
    importance /= importance.sum()
    weights = np.zeros((rows.shape[1], targets.shape[1]))
    speed = np.zeros_like(weights)
    for _ in range(STEPS):
        logits = rows @ weights
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        gradient = rows.T @ ((shares - targets) * importance[:, None])
        gradient[:-1] += DECAY * weights[:-1]
        speed = MOMENTUM * speed - RATE * gradient
        weights += speed
    return weights


def fit(rows: Values, classes: Classes) -> tuple[Values, Values]:
    """(rendered (m,), kinds (m, classes)) for standardised rows (…, m)."""
    drawn = classes != PHOTOGRAPH
    pair = regression(rows, np.stack([~drawn, drawn], axis=1).astype(np.float64), 1.0)
    kinds = regression(rows[drawn], np.eye(len(graphics.NAMES))[classes[drawn]], 0.5)
    rendered = pair[:, 1] - pair[:, 0]
    rendered[-1] += PRIOR
    return rendered, kinds


def cross_validated(rows: Values, classes: Classes) -> tuple[Values, Classes]:
    """(likelihood of being rendered, likeliest kind) of every picture, by weights that never saw it."""
    likelihoods, told = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    fold = np.random.default_rng(0).integers(0, FOLDS, (len(rows) + 1) // 2).repeat(2)[: len(rows)]  # pairs together
    for number in range(FOLDS):
        out = fold == number
        rendered, kinds = fit(rows[~out], classes[~out])
        likelihoods[out] = 1 / (1 + np.exp(-rows[out] @ rendered))
        told[out] = np.argmax(rows[out] @ kinds, axis=1)
    return likelihoods, told


def main() -> None:
    """Fit, print the cross-validated confusion, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the training shards")
    parser.add_argument("--write", type=Path, default=WEIGHTS, help="the file to write")
    options = parser.parse_args()
    pairs = list(labelled(options.data, json.loads(LABELS.read_text(encoding="utf-8"))))
    if not pairs:
        parser.error(f"no labelled image in the shards of {options.data}")
    for picture in map(made_map, range(MADE_MAPS)):
        pairs += [(features_of(rgb), graphics.NAMES.index("map")) for rgb in (picture, worn(picture))]
    for picture in map(made_stars, range(MADE_STARS)):
        pairs += [(features_of(rgb), PHOTOGRAPH) for rgb in (picture, worn(picture))]
    values, classes = np.stack([value for value, _ in pairs]), np.array([c for _, c in pairs], np.int64)
    means, scales = values.mean(axis=0), values.std(axis=0) + 1e-6
    rows = graphics.standardised(values, means, scales)
    likelihoods, told = cross_validated(rows, classes)
    drawn = classes != PHOTOGRAPH
    print(f"{len(rows)} pictures, {drawn.sum()} of them rendered; {FOLDS}-fold cross-validation")
    for least in (0.36, 0.4, 0.55):
        missed, wrong = (likelihoods[drawn] < least).sum(), (likelihoods[~drawn] >= least).sum()
        print(f"likelihood from {least}: {missed} rendered missed, {wrong} photographs called rendered")
    print("labelled (rows), told (columns)".ljust(36) + "".join(f"{name:>12}" for name in graphics.NAMES))
    for number, name in enumerate(graphics.NAMES):
        counts = np.bincount(told[classes == number], minlength=len(graphics.NAMES))
        print(f"{name:36}" + "".join(f"{count:12}" for count in counts))
    rendered, kinds = fit(rows, classes)
    held = {
        "features": list(graphics.FEATURES),
        "names": list(graphics.NAMES),
        "means": np.round(means, 5).tolist(),
        "scales": np.round(scales, 5).tolist(),
        "rendered": np.round(rendered, 4).tolist(),
        "kinds": np.round(kinds, 4).tolist(),
    }
    options.write.write_text(json.dumps(held) + "\n", encoding="utf-8")
    print(f"wrote {options.write}")


if __name__ == "__main__":
    main()
