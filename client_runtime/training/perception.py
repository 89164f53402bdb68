"""What a picture looks like to VGG16: features, and two published distances made of them.

In: pictures as tensors in 0..1 and weight files by path (`features.N.*`, `linK.weight`; `alpha`, `beta`).
Out: features by stage, LPIPS and DISTS terms. Refuses: weight files without the tensors it needs (`ValueError`).

LPIPS: Zhang et al. 2018. DISTS: Ding et al. 2020; its pooling (root of blurred squares) has no preferred grid, so the
training loss uses it for both: max pooling and strided convolutions reward patterns that repeat with their stride.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

STAGES: tuple[tuple[int, ...], ...] = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
CHANNELS = (64, 128, 256, 512, 512)
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_EPSILON = 1e-6


class Vgg(nn.Module):
    """VGG16's convolutions. `pool` is "max" as published, or "l2" as in DISTS. Frozen."""

    mean: Tensor
    std: Tensor
    blur: Tensor

    def __init__(self, weights: Mapping[str, Tensor], pool: str) -> None:
        super().__init__()
        self.pool = pool
        self.convolutions = nn.ModuleDict()
        for stage in STAGES:
            for number in stage:
                weight = _tensor(weights, f"features.{number}.weight")
                layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
                layer.weight.data = weight.float()
                layer.bias.data = _tensor(weights, f"features.{number}.bias").float()  # type: ignore[union-attr]
                self.convolutions[str(number)] = layer
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)
        row = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("blur", (row[:, None] * row[None, :])[None, None], persistent=False)
        self.requires_grad_(False)

    def forward(self, picture: Tensor, stages: int = len(STAGES)) -> list[Tensor]:
        """(N, 3, h, w) in 0..1 → the last rectified map of each of the first `stages` stages."""
        x = (picture - self.mean) / self.std
        found = []
        for number, stage in enumerate(STAGES[:stages]):
            if number:
                x = self.pooled(x)
            for layer in stage:
                x = functional.relu(self.convolutions[str(layer)](x))
            found.append(x)
        return found

    def pooled(self, x: Tensor) -> Tensor:
        """Halve the size the way this network does."""
        if self.pool == "max":
            return functional.max_pool2d(x, 2)
        kernel = self.blur.to(x.dtype).expand(x.shape[1], 1, 3, 3)
        power = functional.conv2d(x * x, kernel, stride=2, padding=1, groups=x.shape[1])
        return torch.sqrt(power + 1e-12)


class Distances(nn.Module):
    """LPIPS and DISTS from features that were computed once."""

    alpha: Tensor
    beta: Tensor

    def __init__(self, lpips_weights: Mapping[str, Tensor], dists_weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        for number in range(len(STAGES)):
            self.register_buffer(
                f"head{number}", _tensor(lpips_weights, f"lin{number}.weight").float(), persistent=False
            )
        alpha, beta = _tensor(dists_weights, "alpha").float(), _tensor(dists_weights, "beta").float()
        total = alpha.sum() + beta.sum()
        self.register_buffer("alpha", alpha / total, persistent=False)
        self.register_buffer("beta", beta / total, persistent=False)

    def lpips(self, ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
        """(N,): the sum over the stages given. Features are unit vectors along channels, then weighted squares."""
        total = torch.zeros(ours[0].shape[0], device=ours[0].device)
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            head = getattr(self, f"head{number}")
            total = total + functional.conv2d((_unit(a) - _unit(b)) ** 2, head).mean((1, 2, 3)).float()
        return total

    def dists(self, ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
        """(N,): the part of DISTS that the stages given contribute; `ours[0]` is the picture itself (3 channels)."""
        total = torch.zeros(ours[0].shape[0], device=ours[0].device)
        first = 0
        for a, b in zip(ours, theirs, strict=True):
            last = first + a.shape[1]
            alpha, beta = self.alpha[:, first:last], self.beta[:, first:last]
            first = last
            a, b = a.float(), b.float()
            mean_a, mean_b = a.mean((2, 3), keepdim=True), b.mean((2, 3), keepdim=True)
            spread_a = ((a - mean_a) ** 2).mean((2, 3), keepdim=True)
            spread_b = ((b - mean_b) ** 2).mean((2, 3), keepdim=True)
            shared = (a * b).mean((2, 3), keepdim=True) - mean_a * mean_b
            texture = (2 * mean_a * mean_b + _EPSILON) / (mean_a**2 + mean_b**2 + _EPSILON)
            structure = (2 * shared + _EPSILON) / (spread_a + spread_b + _EPSILON)
            total = total + (alpha * (1 - texture) + beta * (1 - structure)).sum((1, 2, 3))
        return total


def load_vgg(path: Path, pool: str) -> Vgg:
    """VGG16 from a safetensors file. Raises ValueError."""
    return Vgg(load_file(path), pool)


def load_distances(lpips_path: Path, dists_path: Path) -> Distances:
    """The LPIPS heads and DISTS weights from safetensors files. Raises ValueError."""
    return Distances(load_file(lpips_path), load_file(dists_path))


def _unit(x: Tensor) -> Tensor:
    return x / (torch.sqrt((x * x).sum(1, keepdim=True) + 1e-10))


def _tensor(weights: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in weights:
        raise ValueError(
            f"the weight file has no tensor {name!r}; it needs VGG16's features.N.*, linK.weight, or alpha and beta"
        )
    return weights[name]
