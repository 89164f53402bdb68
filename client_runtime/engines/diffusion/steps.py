"""What happens after every denoising step: the deadline is watched, and colours are pulled to those that were sent.

In: the latents after a step. Out: the latents, corrected. Refuses: to go on after the deadline (`EngineFailed`).

Colour guidance is ILVR (Choi et al. 2021, "Conditioning Method for Denoising Diffusion Probabilistic Models"): what is
coarse in the latents is moved towards what is coarse in the sent picture, noised as far as the latents are.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from client_runtime.engines.base import EngineFailed, Fallback


@dataclass(frozen=True, slots=True)
class Start:
    """What a batch starts from: noise (n, c, rows, columns), and the latents of the colours, or None."""

    noise: torch.Tensor
    clean: torch.Tensor | None


def total_steps(steps: int, strength: float) -> int:
    """How many steps to ask for, so that at least `steps` are taken of the last `strength` part of them."""
    total = math.ceil(steps / strength - 1e-9)
    return total if int(total * strength) >= steps else total + 1


class StepEnd:
    """A diffusers callback. `until_s` is on the clock of `time.monotonic`; `pull` 0 guides no colours."""

    def __init__(self, start: Start, pull: float, cell: int, until_s: float | None) -> None:
        self._start, self._pull, self._cell, self._until_s = start, pull, cell, until_s

    def __call__(self, pipe: Any, step: int, timestep: Any, state: dict[str, Any]) -> dict[str, Any]:
        """Called by the pipeline; returns what it goes on with."""
        if self._until_s is not None and time.monotonic() > self._until_s:
            raise EngineFailed(f"the deadline passed after step {step + 1}", Fallback.DEADLINE)
        if self._pull > 0 and self._start.clean is not None:
            state["latents"] = self._guided(pipe.scheduler, timestep, state["latents"])
        return state

    def _guided(self, scheduler: Any, timestep: Any, latents: torch.Tensor) -> torch.Tensor:
        assert self._start.clean is not None
        wanted = self._start.clean.to(latents.dtype)
        later = scheduler.timesteps[scheduler.timesteps < timestep]
        if len(later):
            times = later[:1].repeat(len(latents))
            wanted = scheduler.add_noise(wanted, self._start.noise.to(latents.dtype), times)
        return latents + self._pull * (self._coarse(wanted) - self._coarse(latents))

    def _coarse(self, latents: torch.Tensor) -> torch.Tensor:
        size = latents.shape[-2:]
        cell = min(self._cell, *size)
        small = functional.avg_pool2d(latents.float(), cell, ceil_mode=True, count_include_pad=False)
        return functional.interpolate(small, size=size, mode="bilinear", align_corners=False).to(latents.dtype)
