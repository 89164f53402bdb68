"""A judge that tells drawn pictures from real ones by their VGG16 features.

In: feature maps of the stages it looks at. Out: a map of scores per stage. Refuses nothing.

Small heads on the features that the perceptual loss computes anyway (projected GAN, Sauer et al. 2021); hinge loss (Lim
and Ye 2017). Each place is judged by itself, so it asks for plausible texture, not for another composition.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from client_runtime.training.perception import CHANNELS

STAGES = (1, 2, 3)  # numbers into perception.STAGES
_WIDTH = 64


class Adversary(nn.Module):
    """One head a stage and size; the heads for the half-size copy are others than those for the full size."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({f"{size}-{n}": _head(CHANNELS[n]) for size in ("full", "half") for n in STAGES})

    def forward(self, features: list[Tensor], size: str) -> list[Tensor]:
        """Score maps (N, 1, h, w) for those of STAGES that are among `features`; positive means real."""
        return [self.heads[f"{size}-{n}"](_level(features[n])) for n in STAGES if n < len(features)]


def judge_loss(real: list[Tensor], drawn: list[Tensor]) -> Tensor:
    """What the judge minimises."""
    terms = [functional.relu(1 - r).mean() + functional.relu(1 + d).mean() for r, d in zip(real, drawn, strict=True)]
    return torch.stack(terms).mean()


def drawing_loss(drawn: list[Tensor]) -> Tensor:
    """What the network minimises."""
    return -torch.stack([d.mean() for d in drawn]).mean()


def _head(channels: int) -> nn.Module:
    normed = nn.utils.parametrizations.spectral_norm
    return nn.Sequential(
        normed(nn.Conv2d(channels, _WIDTH, 1)),
        nn.LeakyReLU(0.2),
        normed(nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)),
        nn.LeakyReLU(0.2),
        normed(nn.Conv2d(_WIDTH, 1, 1)),
    )


def _level(x: Tensor) -> Tensor:
    """Unit mean square along channels, as the published distances compare them."""
    return x / torch.sqrt((x * x).mean(1, keepdim=True) + 1e-6)
