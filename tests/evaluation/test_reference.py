"""Network metrics against the packages that define them, on photographs of scikit-image.

The reference values were computed by `lpips` 0.1.4 (its own heads) and `DISTS_pytorch` 0.1 (its own weights) on top of
the same convolutions; they are compared where the weights are at hand: SKETCHWIRE_METRIC_WEIGHTS.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation.metrics.measure import VARIABLE, weight_files

FOLDER = Path(os.environ.get(VARIABLE, "../shared/weights"))
pytestmark = [
    pytest.mark.skipif(not weight_files(FOLDER), reason=f"no weights of metrics; set {VARIABLE}"),
    pytest.mark.timeout(300),  # VGG16 on a busy machine
]

REFERENCE = {
    ("coffee", "blurred"): {"lpips_alex": 0.35629, "lpips_vgg": 0.32494, "dists": 0.25587},
    ("coffee", "quarter"): {"lpips_alex": 0.27119},
    ("coffee", "astronaut"): {"lpips_alex": 0.68558, "lpips_vgg": 0.80960, "dists": 0.38356},
    ("astronaut", "blurred"): {"lpips_alex": 0.45398},
    ("astronaut", "quarter"): {"lpips_alex": 0.35762},
}
TOLERANCE = {"lpips_alex": 0.005, "lpips_vgg": 0.005, "dists": 0.01}


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    from skimage.data import astronaut, coffee

    return {
        "coffee": np.ascontiguousarray(coffee()[72:328, 172:428]),
        "astronaut": np.ascontiguousarray(astronaut()[:256, 96:352]),
    }


def _other(pictures: dict[str, np.ndarray], picture: np.ndarray, how: str) -> np.ndarray:
    if how == "blurred":
        return cv2.GaussianBlur(picture, (0, 0), 3)
    if how == "quarter":
        small = cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (256, 256), interpolation=cv2.INTER_LINEAR)
    return pictures[how]


def test_lpips_and_dists_are_their_packages(pictures: dict[str, np.ndarray]) -> None:
    from evaluation.metrics.measure import Measure

    measure = Measure(FOLDER)
    for (name, how), values in REFERENCE.items():
        measure.against(pictures[name])
        found = measure(_other(pictures, pictures[name], how), values)
        for metric, value in values.items():
            assert found[metric] == pytest.approx(value, abs=TOLERANCE[metric]), (name, how, metric)


def test_different_photographs_are_about_as_alike_as_the_papers_random_pairs(pictures: dict[str, np.ndarray]) -> None:
    from skimage.data import rocket

    from evaluation.metrics.measure import Measure

    measure = Measure(FOLDER)
    vectors = [measure.vector(p) for p in (*pictures.values(), np.ascontiguousarray(rocket()[:400, :500]))]
    unit = np.stack([v / np.linalg.norm(v) for v in vectors if v is not None])
    cosines = (unit @ unit.T)[np.triu_indices(3, 1)]
    assert 0.15 < cosines.mean() < 0.5
