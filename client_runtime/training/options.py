"""What a training run is told. All of it is stored in the checkpoint.

In: values from the command line. Out: frozen options. Refuses: values that cannot be trained with (`ValueError`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from client_runtime.engines.sketch.network import Shape


@dataclass(frozen=True, slots=True)
class Mix:
    """How often each way of conditioning is shown. Scales divide the size; `palette` and `blind` have no thumbnail.
    `anywhere` is the share of crops that are not chosen for their liveliness.
    """

    scales: tuple[float, ...] = (2, 3, 4, 6, 8)
    scale_weights: tuple[float, ...] = (0.18, 0.30, 0.36, 0.05, 0.03)
    palette: float = 0.06
    blind: float = 0.02
    qualities: tuple[int, int] = (12, 56)
    edges_with_thumbnail: float = 0.15
    edges_with_palette: float = 0.8
    crops: float = 0.08
    full_chroma: float = 0.1
    shrink: float = 0.3
    anywhere: float = 0.0


@dataclass(frozen=True, slots=True)
class Losses:
    """Weights of the terms; see objective.py. `adversary_from` is the fraction of the run after which it joins."""

    pixels: float = 0.5
    colours: float = 1.0
    calm: float = 0.0
    lpips: float = 0.3
    dists: float = 0.3
    adversary: float = 0.0
    adversary_from: float = 0.6
    half_size_share: float = 0.6


@dataclass(frozen=True, slots=True)
class Options:
    """One run. `minutes` of wall clock or `steps`, whichever ends first; 0 means no such end."""

    data: Path
    out: Path
    perception: Path
    held_out: Path | None = None
    start_from: Path | None = None
    minutes: float = 0.0
    steps: int = 0
    images: int = 2
    crops_per_image: int = 2
    crop_px: int = 128
    rate: float = 8e-3
    final_rate: float = 2e-4
    warm_up_steps: int = 20
    average: float = 0.99
    save_every_s: float = 240.0
    workers: int = 1
    threads: int = 1
    device: str = "cpu"
    bf16: bool = False
    compile: bool = False
    seed: int = 1
    shape: Shape = field(default_factory=Shape)
    mix: Mix = field(default_factory=Mix)
    losses: Losses = field(default_factory=Losses)

    def __post_init__(self) -> None:
        if self.crop_px % 16 or self.crop_px < 32:
            raise ValueError(f"crops are a multiple of 16 px and at least 32 px, not {self.crop_px}")
        if self.minutes <= 0 and self.steps <= 0:
            raise ValueError("give minutes or steps, else the training never ends")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, paths as text."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
