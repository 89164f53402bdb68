"""The `diffusion` engine: bundles and words in, pictures out, by Stable Diffusion with ControlNet.

In: tasks. Out: pictures of the bundles' sizes. Refuses: bundles that its profile cannot draw from
(`UnsupportedBundle`), broken ones (`BundleError`); what fails while drawing is `EngineFailed` with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import torch

from client_runtime.engines.base import Capabilities, EngineFailed, EngineUnavailable, Fallback, Image, Task
from client_runtime.engines.diffusion.draw import VERSION, Painter
from client_runtime.engines.diffusion.load import Components, load
from client_runtime.engines.diffusion.memory import free_bytes
from client_runtime.engines.diffusion.profile import Profile
from client_runtime.engines.diffusion.weights import Found, fingerprint
from client_runtime.engines.sketch.draw import best_device
from proxy.bundle import BundleError
from proxy.config import RuntimeConfig

_WITH_EDGES = ("edges", "edges+palette")
_WITHOUT = ("prompt", "thumbnail", "salient")
COMPILED_BATCHES = (1, 4)  # compiled at the start for every bucket; others would compile while a page waits
_MOST_SHAPES = 256  # buckets × batches × levels of the network; the compiler gives up on a function after 8 otherwise


class DiffusionEngine:
    """See `Engine`. One thread uses it."""

    def __init__(self, painter: Painter, profile: Profile, digest: str) -> None:
        self._painter: Painter | None = painter
        modes = (*_WITHOUT, *(_WITH_EDGES if "edges" in profile.controlnets else ()))
        self._capabilities = Capabilities("diffusion", digest, modes)

    @classmethod
    def load(
        cls,
        profile: Profile,
        found: Found,
        config: RuntimeConfig,
        device: torch.device | None = None,
        measure: Callable[[torch.device], int | None] = free_bytes,
    ) -> DiffusionEngine:
        """The engine with `profile`'s weights, warmed up. Raises EngineUnavailable."""
        torch.set_num_threads(config.threads or os.cpu_count() or 1)
        device = device or best_device()
        components = load(profile, found, device, measure)
        if config.compile:
            compile_parts(components)
        painter = Painter(
            components, profile, measure=measure, fixed_batches=COMPILED_BATCHES if config.compile else ()
        )
        engine = cls(painter, profile, fingerprint(profile, found, VERSION))
        if device.type != "cpu" or config.compile:
            try:
                painter.warm_up()
            except EngineFailed as error:
                raise EngineUnavailable(f"diffusion: the first picture failed: {error}", error.reason) from error
        return engine

    def capabilities(self) -> Capabilities:
        """The id `diffusion`; the fingerprint covers the weights, the profile and the version of the drawing code."""
        return self._capabilities

    def reconstruct(self, tasks: Sequence[Task]) -> list[Image]:
        """One uint8 array (height, width, 3) per task. Raises BundleError, EngineFailed."""
        if self._painter is None:
            raise EngineFailed("the engine is closed")
        try:
            return self._painter.draw(tasks)
        except (BundleError, EngineFailed):
            raise
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise EngineFailed(f"out of memory: {error}", Fallback.OUT_OF_MEMORY) from error
        except RuntimeError as error:
            if "out of memory" in str(error).lower() or "can't allocate memory" in str(error).lower():
                raise EngineFailed(f"out of memory: {error}", Fallback.OUT_OF_MEMORY) from error
            raise EngineFailed(f"drawing failed: {error}") from error

    def close(self) -> None:
        """Let go of the weights."""
        self._painter = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def compile_parts(components: Components) -> None:
    """Compile the transformer blocks alone, each once for all its places: minutes become seconds, speed stays."""
    torch._dynamo.config.recompile_limit = _MOST_SHAPES
    torch._dynamo.config.accumulated_recompile_limit = 16 * _MOST_SHAPES
    for model in (components.unet, *components.controlnets.values()):
        for block in model.modules():
            if type(block).__name__ == "BasicTransformerBlock":
                block.compile(fullgraph=True, dynamic=False)
