"""`python -m evaluation.text_probe`: would words tell the sketch engine anything that its thumbnail does not?

In: captioned images (a folder with `index.jsonl`: file, caption), metric weights, a folder with a sentence encoder that
`transformers` reads. Out: cross-validated R² of predicting what the engine got wrong, from the drawn picture, from the
caption, from both, and from both with the captions of other images. Refuses: fewer than 50 captioned images.

What the engine got wrong is the difference of the mean activations of VGG16's five stages (1,472 numbers, reduced to
their 32 principal components) between the original and what was drawn of a thumbnail. If words help a decoder of any
form to choose better textures or colours, they must predict a part of that difference which the picture does not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

from client_runtime.engines import sketch
from client_runtime.engines.base import Task
from client_runtime.engines.sketch.engine import SketchEngine
from evaluation.bench_codec import load
from evaluation.metrics.measure import weights_folder
from evaluation.metrics.perceptual import Perceptual
from proxy.bundle import Bundle
from proxy.encode.pictures import avif_picture, reduced

Floats = npt.NDArray[np.float64]
FOLDS, COMPONENTS = 5, 32
MIN_IMAGES = 50
PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6)


@dataclass(frozen=True, slots=True)
class Seen:
    """One row an image: (n, 1472) what was drawn, (n, 1472) what was wrong, (n, d) the captions' embeddings."""

    drawn: Floats
    wrong: Floats
    words: Floats


def captioned(folder: Path, limit: int) -> list[tuple[Path, str]]:
    """(file, caption) of at most `limit` captioned images, evenly spread. Raises ValueError for too few."""
    lines = (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [(folder / r["file"], r["caption"]) for r in map(json.loads, lines) if r.get("caption")]
    if len(rows) < MIN_IMAGES:
        raise ValueError(f"{folder} has {len(rows)} captioned images; at least {MIN_IMAGES} are needed")
    step = max(1.0, len(rows) / limit) if limit else 1.0
    return [rows[int(i * step)] for i in range(min(len(rows), limit or len(rows)))]


def explained(groups: Sequence[Floats], targets: Floats, seed: int = 0) -> float:
    """Cross-validated R² of `targets` (n, k) from blocks of inputs, with the best penalty and block weights."""
    folds = np.random.default_rng(seed).permutation(len(targets)) % FOLDS
    blocks = [(b - b.mean(0)) / (b.std(0) + 1e-6) for b in groups]
    best = -np.inf
    for weight in (1.0,) if len(blocks) == 1 else (0.01, 0.1, 0.3, 1.0, 3.0):
        inputs = np.concatenate([blocks[0], *(weight * b for b in blocks[1:])], axis=1)
        for penalty in PENALTIES:
            left = np.zeros_like(targets)
            for fold in range(FOLDS):
                test = folds == fold
                left[test] = targets[test] - _ridge(inputs[~test], targets[~test], penalty, inputs[test])
            best = max(best, 1 - float((left**2).sum() / ((targets - targets.mean(0)) ** 2).sum()))
    return best


def _ridge(inputs: Floats, targets: Floats, penalty: float, test: Floats) -> Floats:
    mean, centre = inputs.mean(0), targets.mean(0)
    x = inputs - mean
    dual = np.linalg.solve(x @ x.T + penalty * np.eye(len(x)), targets - centre)
    predicted: Floats = (test - mean) @ x.T @ dual + centre
    return predicted


def report(seen: Seen, seed: int = 0) -> dict[str, float]:
    """R² by what is predicted from."""
    centred = seen.wrong - seen.wrong.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    targets = centred @ axes[:COMPONENTS].T
    others = seen.words[np.random.default_rng(seed).permutation(len(seen.words))]
    return {
        "the drawn picture": explained([seen.drawn], targets),
        "the caption": explained([seen.words], targets),
        "picture and caption": explained([seen.drawn, seen.words], targets),
        "picture and another image's caption": explained([seen.drawn, others], targets),
    }


def see(rows: Sequence[tuple[Path, str]], weights: Path, encoder: Path, scale: int, quality: int, side_px: int) -> Seen:
    """Draw every image from a thumbnail and look at it with VGG16; embed every caption."""
    engine = SketchEngine.load(sketch.WEIGHTS, torch.get_num_threads())
    look = Perceptual(weights)
    drawn, wrong = [], []
    for path, _ in track(rows, "drawing"):
        rgb = load(path, side_px)
        bundle = Bundle(rgb.shape[1], rgb.shape[0], 1, thumbnail=avif_picture(reduced(rgb, scale), quality))
        ours, true = (_pooled(look, picture) for picture in (engine.reconstruct([Task(bundle)])[0], rgb))
        drawn.append(ours)
        wrong.append(true - ours)
    return Seen(np.array(drawn), np.array(wrong), embed([caption for _, caption in rows], encoder))


def _pooled(look: Perceptual, picture: npt.NDArray[np.uint8]) -> Floats:
    maps = look.feature(picture, "lpips_vgg")
    return np.concatenate([np.log1p(m.mean((2, 3))[0].numpy().astype(np.float64)) for m in maps])


@torch.inference_mode()
def embed(texts: Sequence[str], encoder: Path) -> Floats:
    """Mean-pooled sentence embeddings, unit length, (n, d)."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True)
    model = AutoModel.from_pretrained(encoder, local_files_only=True).eval()
    rows = []
    for text in texts:
        tokens = tokenizer(text, truncation=True, max_length=128, return_tensors="pt")
        vector = model(**tokens).last_hidden_state[0].mean(0)
        rows.append((vector / vector.norm()).numpy().astype(np.float64))
    return np.array(rows)


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.text_probe", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of images with index.jsonl")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of a sentence encoder (transformers)")
    parser.add_argument("--weights", type=Path, help="folder of metric weights (else SKETCHWIRE_METRIC_WEIGHTS)")
    parser.add_argument("--limit", type=int, default=400, help="images; 0: all")
    parser.add_argument("--scale", type=int, default=4, help="the thumbnail's reduction")
    parser.add_argument("--quality", type=int, default=30, help="the thumbnail's AVIF quality")
    parser.add_argument("--max-side", type=int, default=384, help="larger images are scaled down to this, in px")
    a = parser.parse_args()
    weights = weights_folder(a.weights)
    if weights is None:
        parser.error("the metric weights are needed")
    try:
        rows = captioned(a.data, a.limit)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    found = report(see(rows, weights, a.encoder, a.scale, a.quality, a.max_side))
    print(f"{len(rows)} images, ÷{a.scale} thumbnail at quality {a.quality}: R² of what the engine got wrong, from")
    for name, value in found.items():
        print(f"  {name:38} {value:6.3f}")


if __name__ == "__main__":
    main()
