"""What a family of processes weighs over time, and how fast that grows.

In: a process. Out: samples of resident memory by role, and the slope of a line through them. Refuses: slopes from fewer
than five samples (`ValueError`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import psutil

MIB = 1024 * 1024
EVERY_S = 2.0
ROLES = ("upstream", "downstream", "runtime", "encoder", "up")
LASTING = ("upstream", "downstream", "runtime")  # encoders may be replaced, and what they weigh with them
ALL, LASTING_ALL = "all", "all but encoders"


@dataclass(slots=True)
class Memory:
    """Samples: seconds since the start, and bytes by role (several processes of one role are added up)."""

    at_s: list[float] = field(default_factory=list)
    size_bytes: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    pids: set[tuple[str, int]] = field(default_factory=set)

    def sample(self, root: psutil.Process, at_s: float) -> None:
        """Weigh `root` and what it started."""
        found: dict[str, int] = dict.fromkeys(ROLES, 0)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                role = role_of(process.cmdline())
                found[role] += process.memory_info().rss
                self.pids.add((role, process.pid))
        self.at_s.append(at_s)
        for role, size in found.items():
            self.size_bytes[role].append(size)
        self.size_bytes[LASTING_ALL].append(sum(found[role] for role in LASTING))
        self.size_bytes[ALL].append(sum(found.values()))

    def of(self, role: str, after_s: float) -> tuple[list[float], list[int]]:
        """(times, bytes) of a role's samples after `after_s`."""
        chosen = [n for n, at_s in enumerate(self.at_s) if at_s >= after_s]
        return [self.at_s[n] for n in chosen], [self.size_bytes[role][n] for n in chosen]

    def growth(self, role: str, after_s: float) -> float:
        """Bytes a minute after the warm-up. Raises ValueError."""
        return slope(*self.of(role, after_s)) * 60.0


def role_of(command: Sequence[str]) -> str:
    """Which part of the pair a process is, by its command line."""
    if "proxy.encode.worker" in command:
        return "encoder"
    return next((role for role in ROLES if role in command), "up")


def slope(at_s: Sequence[float], values: Sequence[float]) -> float:
    """Values per second, by least squares. Raises ValueError."""
    if len(at_s) < 5:
        raise ValueError(f"{len(at_s)} samples are too few for a slope")
    return float(np.polyfit(np.asarray(at_s), np.asarray(values, np.float64), 1)[0])


async def watch(root: psutil.Process, memory: Memory, began_s: float) -> None:
    """Sample until cancelled."""
    while True:
        memory.sample(root, time.monotonic() - began_s)
        await asyncio.sleep(EVERY_S)
