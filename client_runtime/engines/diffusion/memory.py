"""How much memory there is, and how many pictures at a time fit into it.

In: a device, sizes in pixels, and what was measured before. Out: a batch size, 0 when not even one picture fits.
Refuses nothing; where free memory cannot be measured, everything fits until the device says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

_FIRST_GUESS_BYTES = 6000  # a pixel of a picture being drawn: Stable Diffusion 1.5, fp16, with ControlNet
_SPARE = 0.85  # of what is free
_CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int | None:
    """What can still be allocated there; None where nobody knows."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + reserved
    return _host_free_bytes() if device.type == "cpu" else None


class Guard:
    """Learns what a picture takes. `measure` returns the free bytes of a device."""

    def __init__(self, device: torch.device, measure: Callable[[torch.device], int | None] = free_bytes) -> None:
        self._device, self._measure = device, measure
        self._bytes_per_pixel = float(_FIRST_GUESS_BYTES)

    def fits(self, wanted: int, pixels: int) -> int:
        """How many of `wanted` pictures of `pixels` each can be drawn at a time."""
        free = self._measure(self._device)
        return wanted if free is None else min(wanted, int(free * _SPARE / (self._bytes_per_pixel * pixels)))

    def begin(self) -> None:
        """A batch begins; its peak will be measured, where that is possible."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)

    def end(self, pictures: int, pixels: int) -> None:
        """It is drawn: learn from its peak, slowly downwards and at once upwards."""
        if self._device.type == "cuda":
            used = (torch.cuda.max_memory_allocated(self._device) - self._before) / (pictures * pixels)
            self._bytes_per_pixel = max(used, 0.9 * self._bytes_per_pixel + 0.1 * used)

    def give_back(self) -> None:
        """Return cached blocks to the device after it ran out."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _host_free_bytes() -> int | None:
    """Available memory of the machine, or of the container if that is less."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        return free if limit == "max" else min(free, max(0, int(limit) - used))
    except (OSError, ValueError):
        return free
