"""With random weights of the right names: the arithmetic is checked against a plain computation of the definitions."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from client_runtime.training.perception import CHANNELS, STAGES
from evaluation.metrics import measure
from evaluation.metrics.measure import Measure, better
from evaluation.metrics.perceptual import ALEX_FILE, DISTS_FILE, VGG_FILE, Perceptual

_ALEX = ((0, 3, 64, 11), (3, 64, 192, 5), (6, 192, 384, 3), (8, 384, 256, 3), (10, 256, 256, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    vgg: dict[str, torch.Tensor] = {}
    last = 3
    for number, (stage, channels) in enumerate(zip(STAGES, CHANNELS, strict=True)):
        for layer in stage:
            vgg[f"features.{layer}.weight"] = torch.randn(channels, last, 3, 3) / (3 * last**0.5)
            vgg[f"features.{layer}.bias"] = torch.rand(channels) / 10
            last = channels
        vgg[f"lin{number}.weight"] = torch.rand(1, channels, 1, 1)
    save_file(vgg, path / VGG_FILE)
    alex = {f"lin{n}.weight": torch.rand(1, out, 1, 1) for n, (_, _, out, _) in enumerate(_ALEX)}
    for layer, inputs, outputs, side in _ALEX:
        alex[f"features.{layer}.weight"] = torch.randn(outputs, inputs, side, side) / (side * inputs**0.5)
        alex[f"features.{layer}.bias"] = torch.zeros(outputs)
    save_file(alex, path / ALEX_FILE)
    save_file({n: torch.rand(1, 3 + sum(CHANNELS), 1, 1) for n in ("alpha", "beta")}, path / DISTS_FILE)
    return path


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    a = random.integers(0, 256, (72, 80, 3), np.uint8)
    return a, (a + random.normal(0, 25, a.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["lpips_alex", "lpips_vgg", "dists", "vgg16"])
def test_properties(folder: Path, pictures: tuple[np.ndarray, np.ndarray], name: str) -> None:
    perceptual, (a, b) = Perceptual(folder), pictures
    fa, fb = perceptual.feature(a, name), perceptual.feature(b, name)
    perfect = 1.0 if name == "vgg16" else 0.0
    assert perceptual.compare(name, fa, fa) == pytest.approx(perfect, abs=1e-5)
    assert perceptual.compare(name, fa, fb) == pytest.approx(perceptual.compare(name, fb, fa), abs=1e-6)
    closer = perceptual.feature(((a.astype(int) + b) // 2).astype(np.uint8), name)
    assert better(name, perceptual.compare(name, fa, closer), perceptual.compare(name, fa, fb))
    with pytest.raises(ValueError, match="different shapes"):
        perceptual.compare(
            name, perceptual.feature(a[:64, :64], name)[:1] if name != "vgg16" else fa, fb[:1] * 0 or [fb[0][:, :1]]
        )


def test_lpips_alex_by_hand(folder: Path, pictures: tuple[np.ndarray, np.ndarray]) -> None:
    """Layer by layer, pixel by pixel, as the paper defines it."""
    weights = load_file(folder / ALEX_FILE)
    scale = torch.tensor((0.458, 0.448, 0.450)).view(3, 1, 1)
    shift = torch.tensor((-0.030, -0.088, -0.188)).view(3, 1, 1)
    x = torch.stack([(torch.from_numpy(p).permute(2, 0, 1) / 127.5 - 1 - shift) / scale for p in pictures])
    total = 0.0
    for n, (layer, stride, padding) in enumerate(((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))):
        if n in (1, 2):
            x = functional.max_pool2d(x, 3, 2)
        x = functional.conv2d(
            x, weights[f"features.{layer}.weight"], weights[f"features.{layer}.bias"], stride, padding
        )
        x = x.relu()
        unit = x / x.norm(dim=1, keepdim=True)
        total += float((((unit[0] - unit[1]) ** 2) * weights[f"lin{n}.weight"][0]).sum(0).mean())
    perceptual = Perceptual(folder)
    a, b = (perceptual.feature(p, "lpips_alex") for p in pictures)
    assert perceptual.compare("lpips_alex", a, b) == pytest.approx(total, rel=1e-4)


def test_dists_by_hand(folder: Path, pictures: tuple[np.ndarray, np.ndarray]) -> None:
    perceptual = Perceptual(folder)
    a, b = (perceptual.feature(p, "dists") for p in pictures)
    weights = load_file(folder / DISTS_FILE)
    alpha, beta = (weights[n].flatten().double() for n in ("alpha", "beta"))
    value, channel = 0.0, 0
    for fa, fb in zip(a, b, strict=True):
        for x, y in zip(fa[0].double(), fb[0].double(), strict=True):
            texture = (2 * x.mean() * y.mean() + 1e-6) / (x.mean() ** 2 + y.mean() ** 2 + 1e-6)
            shared = ((x - x.mean()) * (y - y.mean())).mean()
            structure = (2 * shared + 1e-6) / (x.var(correction=0) + y.var(correction=0) + 1e-6)
            value += float(alpha[channel] * texture + beta[channel] * structure)
            channel += 1
    assert channel == 1475
    assert perceptual.compare("dists", a, b) == pytest.approx(1 - value / float(alpha.sum() + beta.sum()), abs=1e-4)


def test_all_at_once(folder: Path, pictures: tuple[np.ndarray, np.ndarray]) -> None:
    everything = Measure(folder)
    everything.against(pictures[0])
    assert set(everything(pictures[1])) == set(measure.METRICS)
    assert set(everything(pictures[1], ("psnr", "dists"))) == {"psnr", "dists"}


def test_without_weights_the_rest_is_measured_and_that_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    pictures: tuple[np.ndarray, np.ndarray],
) -> None:
    monkeypatch.delenv(measure.VARIABLE, raising=False)
    with caplog.at_level(logging.WARNING):
        nothing = Measure()
    assert "skipping" in caplog.text and measure.VARIABLE in caplog.text
    nothing.against(pictures[0])
    assert set(nothing(pictures[1])) == {"psnr", "ms_ssim"}
    monkeypatch.setenv(measure.VARIABLE, str(tmp_path))
    assert measure.weights_folder() is None and VGG_FILE in caplog.text + str([r.message for r in caplog.records])
