"""Generated images and random weights of the perceptual network, so that training runs without any data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from client_runtime.engines.sketch.network import Shape
from client_runtime.training.perception import CHANNELS, STAGES

TINY = Shape(width=8, deep=8, half=8, thin=4, blocks_before=1, blocks_deep=1, blocks_after=1, blocks_half=1)


@pytest.fixture
def shape() -> Shape:
    return TINY


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three pictures of blobs and gratings, 96 × 80 px."""
    folder = tmp_path / "images"
    folder.mkdir()
    y, x = np.mgrid[:80, :96]
    for number in range(3):
        wave = np.sin(x * (0.1 + 0.07 * number)) * np.cos(y * 0.13) + ((x - 40) ** 2 + (y - 30 - 9 * number) ** 2 < 300)
        rgb = np.stack((128 + 60 * wave, 100 + 50 * np.roll(wave, 7, 0), 90 - 40 * wave), 2)
        Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def perception(tmp_path: Path) -> Path:
    """Weight files of the right names and shapes with random contents."""
    folder = tmp_path / "perception"
    folder.mkdir()
    torch.manual_seed(0)
    vgg: dict[str, torch.Tensor] = {}
    last = 3
    for number, (stage, channels) in enumerate(zip(STAGES, CHANNELS, strict=True)):
        for layer in stage:
            vgg[f"features.{layer}.weight"] = (torch.randn(channels, last, 3, 3) / (3 * last**0.5)).half()
            vgg[f"features.{layer}.bias"] = torch.zeros(channels).half()
            last = channels
        vgg[f"lin{number}.weight"] = torch.rand(1, channels, 1, 1).half()
    save_file(vgg, folder / "vgg16_lpips_fp16.safetensors")
    total = 3 + sum(CHANNELS)
    save_file({name: torch.rand(1, total, 1, 1) for name in ("alpha", "beta")}, folder / "dists_alpha_beta.safetensors")
    return folder
