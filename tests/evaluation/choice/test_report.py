from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data as samples

from evaluation.choice import fit
from evaluation.choice.candidates import REFERENCE, Row
from evaluation.choice.dataset import examples, held_out, pixels
from evaluation.choice.fit import Sample
from evaluation.choice.report import Result, summarise, worst
from proxy.encode.floor import SKETCH

RESULT = Result("a.jpg", "photograph", "thumbnail", 10_000, 1_000, 2_000, 1_000, 0.9, 0.3, 0.4, 100.0)


def test_the_halves_are_apart_together_complete_and_do_not_depend_on_the_limit(tmp_path: Path) -> None:
    for number in range(12):
        Image.fromarray(samples.coffee()).resize((200, 100)).save(tmp_path / f"{number}.jpg")
    both = [e.name for e in examples(tmp_path)]
    held, rest = ([e.name for e in examples(tmp_path, held=half)] for half in (True, False))
    assert sorted(held + rest) == sorted(both) and not set(held) & set(rest) and held and rest
    assert all(held_out(name) for name in held)
    assert [e.name for e in examples(tmp_path, held=True, limit=2)] == held[:2]


def test_large_images_are_scaled_and_served_as_a_site_would(tmp_path: Path) -> None:
    Image.fromarray(samples.coffee()).resize((1200, 800)).save(tmp_path / "a.jpg", quality=95)
    (example,) = examples(tmp_path)
    assert pixels(example.data).shape == pixels(example.served).shape == (427, 640, 3)
    with Image.open(io.BytesIO(example.served)) as served:
        assert served.format == "JPEG"


def test_a_result_is_good_only_in_both_figures() -> None:
    assert RESULT.good
    assert not replace(RESULT, similar=0.84).good and not replace(RESULT, distance=0.41).good


def test_figures_of_all_images() -> None:
    results = [RESULT, replace(RESULT, sent="avif", auto_bytes=2_000, similar=0.7, cpu_ms=300.0)]
    summary = summarise(results)
    assert (summary.images, summary.sent, summary.good) == (2, {"avif": 1, "thumbnail": 1}, 0.5)
    assert (summary.auto_bytes, summary.classical_bytes, summary.largest_share) == (3_000, 4_000, 0.2)
    assert (summary.smaller_than_classical, summary.smaller_or_equal, summary.median_cpu_ms) == (0.5, 1.0, 200.0)
    assert worst(results) == [results[1]]


def test_the_fit_finds_what_is_there() -> None:
    rng = np.random.default_rng(2)
    found = []
    for number in range(20):
        for quality in (10, 20, 40, 60):
            small, full = rng.uniform(0.05, 0.5, 7), rng.uniform(0.05, 0.5, 5)
            vgg16 = 1 - float(np.exp(np.log(small[0]) - 1 + rng.normal(0, 0.02)))
            lpips = 0.6 + 0.2 * float(np.log(full[0]))
            family = SKETCH if quality != REFERENCE[1] else "preview"
            row = Row(f"{number}.jpg", family, 2, quality, 1000 * quality, lpips, vgg16)
            preview = (small, full) if family == SKETCH else (None, None)
            found.append(Sample(row, small, full, *preview))
    fitted = fit.fit(found, "sketch@01234567")
    assert fitted.images == 20 and all(value > 0.95 for value in fitted.pearson.values())
    assert set(fitted.calibration.heads) == set(fit.HEADS)
    assert all(margin < 0.06 for pair in fitted.calibration.margins.values() for margin in pair)
    with pytest.raises(ValueError, match="too few"):
        fit.fit(found[:8], "sketch@01234567")
