"""All metrics at once, as many as this machine has the weights for.

In: a folder of weights (or SKETCHWIRE_METRIC_WEIGHTS), an original, pictures made of it. Out: numbers by metric name.
Refuses nothing for want of weights: the metrics that need them are skipped, and that is logged once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evaluation.metrics.pixels import ms_ssim, psnr

RGB = npt.NDArray[np.uint8]
VARIABLE = "SKETCHWIRE_METRIC_WEIGHTS"
NETWORK_METRICS = ("lpips_alex", "lpips_vgg", "dists", "vgg16")
METRICS = (*NETWORK_METRICS, "ms_ssim", "psnr")
LOWER_IS_BETTER = frozenset(("lpips_alex", "lpips_vgg", "dists"))
_FILES = ("vgg16_lpips_fp16.safetensors", "alexnet_lpips_fp16.safetensors", "dists_alpha_beta.safetensors")
_log = logging.getLogger("sketchwire.evaluation")


def weights_folder(given: Path | None = None) -> Path | None:
    """The folder with the weights: the one given, else the environment variable's; None if files are missing."""
    named = os.environ.get(VARIABLE)
    folder = given or (Path(named) if named else None)
    if folder is None:
        _log.warning("skipping %s: no weights; set %s to their folder", ", ".join(NETWORK_METRICS), VARIABLE)
        return None
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        _log.warning("skipping %s: %s has no %s", ", ".join(NETWORK_METRICS), folder, ", ".join(missing))
        return None
    return folder


def weight_files(given: Path | None = None) -> list[Path]:
    """The files that the network metrics are made of; none when they are skipped."""
    folder = weights_folder(given)
    return [] if folder is None else [folder / name for name in _FILES]


def better(metric: str, a: float, b: float) -> bool:
    """Whether the value `a` of `metric` is better than `b`."""
    return a < b if metric in LOWER_IS_BETTER else a > b


class Measure:
    """Measures pictures against one original at a time; its features are kept."""

    def __init__(self, weights: Path | None = None) -> None:
        folder = weights_folder(weights)
        self._perceptual = None
        self._true: RGB | None = None
        self._features: dict[str, object] = {}
        if folder is not None:
            from evaluation.metrics.perceptual import Perceptual

            self._perceptual = Perceptual(folder)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that are measured here."""
        return METRICS if self._perceptual else METRICS[len(NETWORK_METRICS) :]

    def against(self, true: RGB) -> None:
        """Choose the original."""
        self._true, self._features = true, {}

    def vector(self, picture: RGB) -> npt.NDArray[np.float32] | None:
        """What the VGG16 similarity compares, (512,); None without weights."""
        if self._perceptual is None:
            return None
        return np.asarray(self._perceptual.feature(picture, "vgg16")[0][0].numpy(), np.float32)

    def patches(self, stack: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32] | None:
        """VGG16 features (n, 512) of patches (n, side, side, 3), for `distribution`; None without weights."""
        return None if self._perceptual is None else self._perceptual.patches(stack)

    def __call__(self, drawn: RGB, names: Iterable[str] | None = None) -> dict[str, float]:
        """Metrics of `drawn` (all that can be measured unless `names` says which). Raises ValueError."""
        if self._true is None:
            raise ValueError("choose an original with against() first")
        wanted = [name for name in (names or self.names) if name in self.names]
        return {name: self._one(self._true, drawn, name) for name in wanted}

    def _one(self, true: RGB, drawn: RGB, name: str) -> float:
        if name == "psnr":
            return psnr(true, drawn)
        if name == "ms_ssim":
            return ms_ssim(true, drawn)
        assert self._perceptual is not None
        if name not in self._features:
            self._features[name] = self._perceptual.feature(true, name)
        return self._perceptual.compare(name, self._features[name], self._perceptual.feature(drawn, name))  # type: ignore[arg-type]
