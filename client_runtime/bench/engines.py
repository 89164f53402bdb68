"""The engine to be measured, made with real or with random weights.

In: what the command line says. Out: a `Made` engine and how its memory is read. Refuses: what cannot be made here
(`BenchError`, `EngineUnavailable`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from client_runtime.bench.architectures import BenchError, architecture_of, parameters, random_components
from client_runtime.bench.measure import process_peak_bytes, reset_process_peak
from client_runtime.engines.base import Engine
from client_runtime.engines.sketch.draw import best_device, best_dtype
from proxy.config import RuntimeConfig

CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Wish:
    """What to measure. `side_px` 0 keeps the profile's own buckets, `steps` 0 its own steps."""

    profile: str
    random_weights: bool
    architecture: str = ""
    device: str = ""
    dtype: str = ""
    side_px: int = 0
    steps: int = 0
    compile: bool = False
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Made:
    """An engine ready to draw. `notes` say what it is; `reset` and `peak` measure memory around a case."""

    engine: Engine
    device: str
    notes: tuple[str, ...]
    load_s: float
    side_px: int
    modes: tuple[str, ...]
    reset: Callable[[], None]
    peak: Callable[[], int | None]


def make(wish: Wish) -> Made:
    """The engine. Raises BenchError, EngineUnavailable and ProfileError."""
    torch.set_num_threads(wish.threads or os.cpu_count() or 1)
    try:
        device = torch.device(wish.device) if wish.device else best_device()
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BenchError(f"--device {wish.device}: {str(error).splitlines()[0]}") from error
    dtype = _dtype(wish.dtype, device)
    began = time.perf_counter()
    engine, notes, side = (_sketch if wish.profile == "sketch" else _diffusion)(wish, device, dtype)
    load_s = time.perf_counter() - began
    modes = tuple(mode for mode in engine.capabilities().modes)
    return Made(engine, hardware(device), notes, load_s, side, modes, *_memory(device))


def _sketch(wish: Wish, device: torch.device, dtype: torch.dtype) -> tuple[Engine, tuple[str, ...], int]:
    from client_runtime.engines.sketch import WEIGHTS
    from client_runtime.engines.sketch.draw import VERSION, Sketcher
    from client_runtime.engines.sketch.engine import SketchEngine
    from client_runtime.engines.sketch.load import fingerprint, load_network

    network = load_network(WEIGHTS)
    count = sum(weight.numel() for weight in network.parameters())
    sketcher = Sketcher(network, device, dtype, compiled=wish.compile)
    notes = (f"sketch engine, its own weights ({count / 1e6:.2f} M parameters), {_name(dtype)}",)
    return SketchEngine(sketcher, fingerprint(WEIGHTS, VERSION)), notes, wish.side_px or 512


def _diffusion(wish: Wish, device: torch.device, dtype: torch.dtype) -> tuple[Engine, tuple[str, ...], int]:
    from client_runtime.engines.diffusion import engine as diffusion
    from client_runtime.engines.diffusion.draw import Painter
    from client_runtime.engines.diffusion.profile import load_profile
    from client_runtime.engines.diffusion.weights import find

    profile = load_profile(wish.profile)
    profile = replace(profile, dtype=_name(dtype), steps=wish.steps or profile.steps)
    if wish.side_px:
        if wish.side_px % 64:
            raise BenchError(f"--size {wish.side_px}: must be a multiple of 64 for a diffusion profile")
        profile = replace(profile, native_px=wish.side_px, buckets=((wish.side_px, wish.side_px),))
    about = f"{profile.id}: {profile.steps} step{'s' * (profile.steps != 1)}, guidance {profile.guidance:g}, "
    about += f"{profile.scheduler}, {'TAESD' if profile.tiny_vae else 'full autoencoder'}, {_name(dtype)}"
    if not wish.random_weights:
        config = RuntimeConfig(threads=wish.threads, compile=wish.compile)
        made: Engine = diffusion.DiffusionEngine.load(profile, find(profile), config, device)
        return made, (about, "trained weights"), profile.native_px
    kind = wish.architecture or architecture_of(profile)
    components = random_components(profile, kind, device, dtype)
    if wish.compile:
        diffusion.compile_parts(components)
    painter = Painter(components, profile, fixed_batches=diffusion.COMPILED_BATCHES if wish.compile else ())
    sizes = ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in parameters(components).items())
    notes = (
        f"{about}; random weights of the full-size architecture {kind} ({sizes})",
        "timings do not depend on the weights' values; the pictures show nothing, and their quality is not measured",
    )
    return diffusion.DiffusionEngine(painter, profile, "0" * 16), notes, profile.native_px


def hardware(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type != "cpu":
        return device.type
    try:
        lines = CPU_INFO.read_text(encoding="ascii", errors="replace").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = "CPU"
    return f"{model}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if not name:
        return best_dtype(device)
    known = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if name not in known:
        raise BenchError(f"--dtype {name}: must be one of {', '.join(known)}")
    return known[name]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _memory(device: torch.device) -> tuple[Callable[[], None], Callable[[], int | None]]:
    if device.type == "cuda":
        return lambda: torch.cuda.reset_peak_memory_stats(device), lambda: int(torch.cuda.max_memory_allocated(device))
    return reset_process_peak, process_peak_bytes
