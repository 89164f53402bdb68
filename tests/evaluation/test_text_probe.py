"""The probe finds what words tell, and finds nothing where they tell nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.text_probe import Seen, captioned, report


def _seen(words_matter: bool) -> Seen:
    random = np.random.default_rng(3)
    drawn, words = random.normal(size=(120, 20)), random.normal(size=(120, 8))
    mix = random.normal(size=(28, 40))
    wrong = np.concatenate([drawn, words if words_matter else np.zeros_like(words)], axis=1) @ mix
    return Seen(drawn, wrong + 0.1 * random.normal(size=wrong.shape), words)


def test_words_that_matter_are_seen() -> None:
    found = report(_seen(True))
    assert found["picture and caption"] > 0.95
    assert found["picture and caption"] > found["picture and another image's caption"] + 0.1
    assert found["the caption"] > 0.1


def test_words_that_tell_nothing_add_nothing() -> None:
    found = report(_seen(False))
    assert found["the caption"] < 0.05
    assert found["picture and caption"] == pytest.approx(found["the drawn picture"], abs=0.02)


def test_too_few_captions_are_refused(tmp_path: Path) -> None:
    rows = [{"file": "a.webp", "caption": "a cat"}, {"file": "b.webp", "caption": ""}]
    (tmp_path / "index.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(ValueError, match="1 captioned"):
        captioned(tmp_path, 0)
