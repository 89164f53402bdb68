"""From bundles to pictures, with the network on whatever device there is.

In: bundles. Out: uint8 RGB pictures of their sizes. Refuses: bundles whose parts don't decode (`BundleError`).

Pictures are drawn at most DRAW_SIDE_PX a side (the encoder works at that size) and enlarged from there; all windows are
aligned and padded alike on every device, so that a picture depends on its bundle alone. On a CPU windows go one by one,
on other devices windows of one size go in batches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from client_runtime.engines.sketch import colours
from client_runtime.engines.sketch.conditions import Conditions, Planes, from_bundle
from client_runtime.engines.sketch.tiles import Canvas, Window, windows
from proxy.bundle.model import Bundle
from proxy.bundle.preview import paste_crops
from proxy.bundle.resample import resize

RGB = npt.NDArray[np.uint8]
VERSION = 2  # part of the engine's fingerprint: raise it when the pixels change
DRAW_SIDE_PX = 1024
TILE_PX = 1024
OVERLAP_PX = 96
ALIGN_PX = 32
_BATCH_PX = {"cpu": 1, "cuda": 16 << 20, "mps": 4 << 20}


class Sketcher:
    """Draws bundles with one network. `dtype` None chooses what the device is fast in."""

    def __init__(
        self,
        network: nn.Module,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        compiled: bool = False,
        tile_px: int = TILE_PX,
        draw_side_px: int = DRAW_SIDE_PX,
    ) -> None:
        self.device = device or best_device()
        self.dtype = dtype or best_dtype(self.device)
        self._tile_px, self._draw_side_px = tile_px, draw_side_px
        network = network.eval().requires_grad_(False)
        network = network.to(self.device, self.dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network: Any = torch.compile(network, dynamic=True) if compiled else network

    @property
    def together(self) -> int | None:
        """How many pictures are worth drawing at once: a CPU takes them one by one."""
        return 1 if self.device.type == "cpu" else None

    def draw(self, bundles: Sequence[Bundle]) -> list[RGB]:
        """One picture (height, width, 3) per bundle, true crops in place. Raises BundleError."""
        told = [from_bundle(bundle, self._draw_side_px) for bundle in bundles]
        drawn = self.draw_conditions(told)
        return [
            paste_crops(resize(_eight_bit(picture), bundle.width_px, bundle.height_px), bundle)
            for bundle, picture in zip(bundles, drawn, strict=True)
        ]

    def draw_conditions(self, told: Sequence[Conditions]) -> list[npt.NDArray[np.float32]]:
        """One float picture (height, width, 3), about 0..1, per conditioning; colours matched, crops not yet pasted."""
        canvases = [Canvas(c.height_px, c.width_px, OVERLAP_PX) for c in told]
        buckets: dict[tuple[int, int], list[tuple[int, Window]]] = defaultdict(list)
        for number, c in enumerate(told):
            for window in windows(c.height_px, c.width_px, self._tile_px, OVERLAP_PX, ALIGN_PX):
                buckets[window.rows, window.columns].append((number, window))
        for (rows, columns), jobs in buckets.items():
            size = max(1, _BATCH_PX.get(self.device.type, 1) // (rows * columns))
            for first in range(0, len(jobs), size):
                batch = jobs[first : first + size]
                planes = [told[n].window(w.top, w.left, w.rows, w.columns) for n, w in batch]
                facts = np.stack([told[n].facts() for n, _ in batch])
                for (n, window), picture in zip(batch, self._pass(planes, facts), strict=True):
                    canvases[n].put(window, picture)
        pictures = [canvas.picture() for canvas in canvases]
        return [
            picture if c.small is None else colours.match(picture, c.small, c.is_palette)
            for c, picture in zip(told, pictures, strict=True)
        ]

    def _pass(self, planes: Sequence[Planes], facts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(N, rows, columns, 3) of one batch of windows of the same size."""
        stacked = [np.stack([getattr(p, name) for p in planes]) for name in ("colour", "edges", "mask", "noise")]
        tensors = [torch.from_numpy(s).to(self.device, self.dtype, memory_format=torch.channels_last) for s in stacked]
        with torch.inference_mode():
            out = self._network(*tensors, torch.from_numpy(facts).to(self.device, self.dtype))
            return np.asarray(out.permute(0, 2, 3, 1).float().cpu().numpy(), np.float32)


def best_device() -> torch.device:
    """CUDA, MPS or the CPU, in this order."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def best_dtype(device: torch.device) -> torch.dtype:
    """bf16 where the hardware multiplies matrices in it, fp16 on older GPUs, fp32 elsewhere."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return torch.bfloat16 if device.type == "cpu" and amx is not None and amx() else torch.float32


def _eight_bit(picture: npt.NDArray[np.float32]) -> RGB:
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)
