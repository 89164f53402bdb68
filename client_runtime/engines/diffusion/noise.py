"""Noise that depends on the bundle's seed and the place alone: the same bundle gives the same picture, in any batch.

In: a seed and a size in latent cells. Out: float32 standard normal noise, drawn on the CPU. Refuses nothing.

The noise a picture starts from is Philox's (Salmon et al. 2011). Samplers that add noise at every step (LCM, TCD) draw
it from a torch generator of the picture's own, on the CPU, whose seed is Philox's too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

_STEPS_STREAM = 1 << 64  # far from the keys of bundles, which have 32 bits


def field(seed: int, channels: int, rows: int, columns: int) -> npt.NDArray[np.float32]:
    """(channels, rows, columns) of standard normal noise."""
    return np.random.Generator(np.random.Philox(key=seed)).standard_normal((channels, rows, columns), np.float32)


def generator(seed: int) -> torch.Generator:
    """What the sampler of one picture draws from during its steps."""
    bits = np.random.Generator(np.random.Philox(key=_STEPS_STREAM + seed)).integers(0, 1 << 63)
    return torch.Generator("cpu").manual_seed(int(bits))
