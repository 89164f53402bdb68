"""What survives a training run: weights to ship, and a checkpoint to go on from.

In: networks, optimisers, numbers. Out: `diffusion_pytorch_model.safetensors` and `config.json` (the averaged weights,
what an engine loads), and `checkpoint.pt` (everything). Refuses: files of another network's shape (`ValueError`).
Files are written beside their place and moved there, so that a crash leaves the previous ones whole.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from client_runtime.engines.sketch.network import Shape, SketchNetwork

WEIGHTS, CONFIG, CHECKPOINT = "diffusion_pytorch_model.safetensors", "config.json", "checkpoint.pt"


class Average:
    """An exponential moving average of a network's weights; early on, a plain mean of what there was."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the network's present weights."""
        self.updates += 1
        keep = min(self.decay, self.updates / (self.updates + 10))
        for name, value in network.state_dict().items():
            self.weights[name].lerp_(value.detach(), 1 - keep)


def export(folder: Path, weights: dict[str, Tensor], shape: Shape, half: bool = True) -> Path:
    """Write `weights` as an engine loads them (fp16 unless `half` is false); the weight file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = torch.float16 if half else torch.float32
    plain = {name: value.detach().to("cpu", kind).contiguous() for name, value in weights.items()}
    path = folder / WEIGHTS
    save_file(plain, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)
    config = {"_class_name": "SketchModel", **shape.as_dict()}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return path


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write the checkpoint: plain values and tensors."""
    part = folder / (CHECKPOINT + ".part")
    torch.save(state, part)
    os.replace(part, folder / CHECKPOINT)


def load(folder: Path) -> dict[str, Any] | None:
    """The checkpoint in `folder`, or None."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def fill(network: SketchNetwork, path: Path) -> list[str]:
    """Load weights from a safetensors file; names of layers it lacks.

    A deeper network may start from a shallower one's weights: its further blocks add nothing until they are trained.
    Raises ValueError when a tensor has another shape or is not in the network.
    """
    found = {name: value.float() for name, value in load_file(path).items()}
    own = network.state_dict()
    wrong = [name for name, value in found.items() if name not in own or own[name].shape != value.shape]
    if wrong:
        raise ValueError(f"{path} is of another network: {', '.join(wrong[:3])}; give the shape it was trained with")
    missing = sorted(set(own) - set(found))
    network.load_state_dict(found, strict=False)
    for name in missing:
        if name.endswith("second.weight"):
            nn.init.zeros_(network.get_parameter(name))
    return missing
