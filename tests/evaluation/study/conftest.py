from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.study.stimuli import FILE, ORIGINAL, OURS, Stimuli, read

VERSIONS = (ORIGINAL, OURS, "webp", "avif", "jpegxl")


@pytest.fixture
def stimuli(tmp_path: Path) -> Stimuli:
    """Six images whose versions differ from the original by more and more noise, in the order of VERSIONS."""
    random, images = np.random.default_rng(3), []
    for number in range(6):
        base = np.asarray(Image.fromarray(random.integers(60, 190, (4, 6, 3), np.uint8)).resize((96, 64)), np.float64)
        shown = {}
        for place, version in enumerate(VERSIONS):
            noisy = np.clip(base + random.normal(0, 1 + 14 * place, base.shape) * bool(place), 0, 255).astype(np.uint8)
            file = f"pictures/{number:03}/{place}.webp"
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noisy).save(tmp_path / file, "WEBP", lossless=True)
            shown[version] = {"file": file, "size_bytes": 9000 if version == ORIGINAL else 900 - place, "setting": "x"}
        words = "" if number == 5 else f"A <b>river</b> near town {number}. Seen in spring"
        images.append({"name": f"{number}.png", "words": words, "page": "river-news", "licence": "CC0",
                       "original": shown.pop(ORIGINAL), "conditions": shown, "best": "webp"})  # fmt: skip
    about = {"engine": "sketch@test", "chosen_by": "ms_ssim", "budget_bpp": 0.1, "view_px": 96, "left_out": {}}
    (tmp_path / FILE).write_text(json.dumps({**about, "images": images}))
    return read(tmp_path)
