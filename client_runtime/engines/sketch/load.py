"""Reads the network from its folder without importing diffusers, which takes seconds.

In: a folder with `config.json` and the safetensors file, as `SketchModel.save_pretrained` or the training writes them.
Out: the network in fp32, and a digest of all that makes its pictures. Refuses: files that do not fit (`ValueError`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from client_runtime.engines.sketch import CONFIG_FILE, WEIGHTS_FILE
from client_runtime.engines.sketch.network import Shape, SketchNetwork


def load_shape(folder: Path) -> Shape:
    """The network's size from config.json. Raises ValueError, OSError."""
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    return Shape(**{field.name: int(config[field.name]) for field in fields(Shape) if field.name in config})


def load_network(folder: Path) -> SketchNetwork:
    """The network in `folder`, fp32, on the CPU. Raises ValueError, OSError."""
    with torch.device("meta"):
        network = SketchNetwork(load_shape(folder))
    try:
        weights = load_file(folder / WEIGHTS_FILE)
        network.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{folder / WEIGHTS_FILE} is damaged or does not fit {CONFIG_FILE}: {error}") from error
    return network


def fingerprint(folder: Path, version: int) -> str:
    """64 hexadecimal digits over the weights, their configuration and `version`."""
    digest = hashlib.sha256(b"sketch %d " % version)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()
