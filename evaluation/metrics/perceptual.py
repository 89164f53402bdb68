"""Distances through networks: LPIPS (AlexNet, VGG16), DISTS, and the VGG16 similarity of the LUMS paper.

In: weight files in a folder, and uint8 RGB arrays of shape (h, w, 3). Out: floats by name.
Refuses: weight files without the tensors needed (`ValueError`), arrays of different shapes (`ValueError`).

LPIPS v0.1: Zhang et al. 2018. DISTS: Ding et al. 2020, at the pictures' own size. VGG16 similarity: cosine of pool5,
averaged over space, at 224×224 ("Rethinking Image Compression on the Web with Generative AI").
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from client_runtime.training.perception import Distances, Vgg

RGB = npt.NDArray[np.uint8]
VGG_FILE, ALEX_FILE, DISTS_FILE = (
    "vgg16_lpips_fp16.safetensors",
    "alexnet_lpips_fp16.safetensors",
    "dists_alpha_beta.safetensors",
)
NAMES = ("lpips_alex", "lpips_vgg", "dists", "vgg16")
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_VGG_SIDE_PX = 224
_ALEX_LAYERS = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))


class Perceptual:
    """Measures many pictures against one original, whose features are computed once."""

    def __init__(self, folder: Path) -> None:
        vgg, alex = load_file(folder / VGG_FILE), load_file(folder / ALEX_FILE)
        self._vgg, self._vgg_l2 = Vgg(vgg, "max").eval(), Vgg(vgg, "l2").eval()
        self._distances = Distances(vgg, load_file(folder / DISTS_FILE))
        self._alex = _Alex(alex)
        self._alex_heads = [alex[f"lin{n}.weight"].float() for n in range(5)]
        self._vgg_heads = [vgg[f"lin{n}.weight"].float() for n in range(5)]

    @torch.inference_mode()
    def features(self, picture: RGB) -> dict[str, list[Tensor]]:
        """What is compared, for all metrics."""
        return {name: self.feature(picture, name) for name in NAMES}

    @torch.inference_mode()
    def feature(self, picture: RGB, name: str) -> list[Tensor]:
        """What is compared, for one metric of NAMES."""
        x = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))[None]).float() / 255
        if name == "lpips_alex":
            found: list[Tensor] = self._alex(_lpips_input(x))
            return found
        if name == "lpips_vgg":
            maps: list[Tensor] = self._vgg(_lpips_input(x) * self._vgg.std + self._vgg.mean)
            return maps
        if name == "dists":
            return [x, *self._vgg_l2(x)]
        small = functional.interpolate(x, (_VGG_SIDE_PX, _VGG_SIDE_PX), mode="bilinear", antialias=True)
        return [self._pool5(small.clamp(0, 1))]

    @torch.inference_mode()
    def patches(self, stack: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """pool5, averaged over space, of patches (n, side, side, 3) at their own size: (n, 512)."""
        x = torch.from_numpy(np.ascontiguousarray(stack.transpose(0, 3, 1, 2))).float() / 255
        return np.asarray(self._pool5(x).numpy(), np.float32)

    def _pool5(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(self._vgg(x)[-1], 2).mean((2, 3))

    @torch.inference_mode()
    def compare(self, name: str, true: list[Tensor], drawn: list[Tensor]) -> float:
        """One metric from features. Distances are 0 for equal pictures, the similarity is 1."""
        if any(a.shape != b.shape for a, b in zip(true, drawn, strict=True)):
            raise ValueError(f"pictures of different shapes: {tuple(true[0].shape)} and {tuple(drawn[0].shape)}")
        if name == "vgg16":
            return float(functional.cosine_similarity(true[0], drawn[0]))
        if name == "dists":
            return float(self._distances.dists(true, drawn))
        heads = self._alex_heads if name == "lpips_alex" else self._vgg_heads
        return sum(
            float(functional.conv2d((_unit(a) - _unit(b)) ** 2, head).mean())
            for a, b, head in zip(true, drawn, heads, strict=True)
        )


class _Alex(nn.Module):
    """AlexNet's convolutions; returns the five rectified maps."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        missing = [f"features.{n}.weight" for n, *_ in _ALEX_LAYERS if f"features.{n}.weight" not in weights]
        if missing:
            raise ValueError(f"the AlexNet file has no tensor {missing[0]!r}")
        self._weights = {name: value.float() for name, value in weights.items()}

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, h, w), scaled as LPIPS does, at least 63 px a side → five maps."""
        maps = []
        for number, stride, padding, pooled in _ALEX_LAYERS:
            if pooled:
                x = functional.max_pool2d(x, 3, 2)
            weight, bias = self._weights[f"features.{number}.weight"], self._weights[f"features.{number}.bias"]
            x = functional.relu(functional.conv2d(x, weight, bias, stride=stride, padding=padding))
            maps.append(x)
        return maps


def _lpips_input(x: Tensor) -> Tensor:
    shift, scale = torch.tensor(_SHIFT).view(1, 3, 1, 1), torch.tensor(_SCALE).view(1, 3, 1, 1)
    return (2 * x - 1 - shift) / scale


def _unit(x: Tensor) -> Tensor:
    return x / (torch.sqrt((x * x).sum(1, keepdim=True)) + 1e-10)
