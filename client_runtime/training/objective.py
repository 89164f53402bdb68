"""What the network is trained to minimise.

In: the drawn and the true crops, and which of two views to look through. Out: the loss and its terms by name.
Refuses nothing.

Pixels: Charbonnier (Lai et al. 2017). Colours: difference after averaging over 16×16 px. Calm: what is drawn finer than
15 px where the original is smooth, as sky and water beside a strong edge, where any ripple is seen (contrast masking,
Legge and Foley 1980) and where the other terms hardly count it. LPIPS and DISTS: through one
VGG16 with DISTS' grid-free pooling, on one of two views a step, which costs a third of all of VGG16 at full size: the
first three stages at full size, or all stages of the half-size copy. The view starts at a random offset of 0 to 7 px,
so that no phase of the network's own grid is privileged.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from client_runtime.training.adversary import Adversary, drawing_loss
from client_runtime.training.options import Losses
from client_runtime.training.perception import Distances, Vgg

OFFSET_PX = 8
_FULL_STAGES = 3
_CALM_PX = 9  # window that smoothness is judged in
_CALM_CONTRAST = 0.02  # standard deviation of grey, 0 to 1, at which a place counts half
_FINE_PX = 15
_LEAST_CALM = 0.1  # share of the crop: a crop that is all grass must not stake everything on its few calm places


@dataclass(frozen=True, slots=True)
class View:
    """Where and how VGG16 looks at a crop in one step."""

    size: str  # "full" or "half"
    top: int
    left: int

    def of(self, picture: Tensor) -> Tensor:
        """The part of (N, 3, h, w) that is looked at."""
        height, width = picture.shape[-2] - OFFSET_PX, picture.shape[-1] - OFFSET_PX
        part = picture[..., self.top : self.top + height, self.left : self.left + width]
        return part if self.size == "full" else functional.avg_pool2d(part, 2)

    @property
    def stages(self) -> int:
        """How many stages of VGG16 are computed."""
        return _FULL_STAGES if self.size == "full" else 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """The loss to minimise, its terms for the log, and the features the judge learns from."""

    loss: Tensor
    terms: dict[str, Tensor]
    ours: list[Tensor]
    theirs: list[Tensor]


def verdict(
    drawn: Tensor, true: Tensor, view: View, vgg: Vgg, distances: Distances, judge: Adversary | None, weights: Losses
) -> Verdict:
    """Compare (N, 3, h, w) pictures in 0..1. `judge` is None while there is no adversary."""
    difference = drawn.float() - true
    terms = {
        "pixels": torch.sqrt(difference**2 + 1e-6).mean(),
        "colours": functional.avg_pool2d(difference, 16).abs().mean(),
    }
    if weights.calm > 0:
        terms["calm"] = unrest(difference, true)
    seen = view.of(drawn)
    ours = vgg(seen, view.stages)
    with torch.no_grad():
        truth = view.of(true)
        theirs = vgg(truth, view.stages)
    terms["lpips"] = distances.lpips(ours, theirs).mean()
    terms["dists"] = distances.dists([seen, *ours], [truth, *theirs]).mean()
    if judge is not None:
        terms["adversary"] = drawing_loss(judge(ours, view.size))
    loss = torch.stack([getattr(weights, name) * term.float() for name, term in terms.items()]).sum()
    return Verdict(loss, terms, ours, theirs)


def unrest(difference: Tensor, true: Tensor) -> Tensor:
    """Mean absolute fine difference where (N, 3, h, w) `true`, 0 to 1, is smooth; a scalar."""
    grey = true.mean(1, keepdim=True)
    mean = _box(grey, _CALM_PX)
    power = _box((grey - mean) ** 2, _CALM_PX)
    calm = 1 / (1 + power / _CALM_CONTRAST**2)
    fine = difference - _box(difference, _FINE_PX)
    return (fine.abs() * calm).mean() / (calm.mean() + _LEAST_CALM)


def _box(x: Tensor, side: int) -> Tensor:
    padded = functional.pad(x, (side // 2,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, side, stride=1)
