"""The `sketch` engine: bundles in, pictures out, by one pass of the packaged network.

In: tasks; prompts are of no use to it. Out: pictures of the bundles' sizes. Refuses: bundles with neither thumbnail,
palette nor edges (`UnsupportedBundle`: it does not draw from words), and broken ones (`BundleError`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from client_runtime.engines.base import Capabilities, EngineFailed, EngineUnavailable, Image, Task
from client_runtime.engines.preview import MODES
from client_runtime.engines.sketch.draw import VERSION, Sketcher
from client_runtime.engines.sketch.load import fingerprint, load_network
from proxy.bundle import Bundle, UnsupportedBundle
from proxy.bundle.preview import render
from proxy.shared.heap import Trimmer

SLACK_BYTES = 256 * 1024 * 1024  # a picture takes about 120 MiB; tighter costs more time than it saves memory


class SketchEngine:
    """See `Engine`. One thread uses it; the network itself uses `threads` of them."""

    def __init__(self, sketcher: Sketcher, digest: str) -> None:
        self._sketcher: Sketcher | None = sketcher
        self._capabilities = Capabilities("sketch", digest, MODES, sketcher.together)
        self._trimmer = Trimmer(SLACK_BYTES)

    @classmethod
    def load(cls, folder: Path, threads: int = 0) -> SketchEngine:
        """The engine from a folder of weights; `threads` 0 takes all cores. Raises EngineUnavailable."""
        torch.set_num_threads(threads or os.cpu_count() or 1)
        try:
            return cls(Sketcher(load_network(folder)), fingerprint(folder, VERSION))
        except (OSError, ValueError) as error:
            raise EngineUnavailable(
                f"sketch: the weights in {folder} cannot be used: {error}; reinstall the package"
            ) from error

    def capabilities(self) -> Capabilities:
        """The id `sketch`; the fingerprint covers the weights and the version of the drawing code."""
        return self._capabilities

    def reconstruct(self, tasks: Sequence[Task]) -> list[Image]:
        """One uint8 array (height, width, 3) per task. Raises BundleError, EngineFailed."""
        if self._sketcher is None:
            raise EngineFailed("the engine is closed")
        for task in tasks:
            if task.bundle.thumbnail is None and task.bundle.palette is None and task.bundle.edges is None:
                raise UnsupportedBundle(
                    "a bundle without edges, palette or thumbnail needs an engine that draws from words"
                )
        try:
            return self._draw(self._sketcher, [task.bundle for task in tasks])
        except (RuntimeError, MemoryError) as error:
            raise EngineFailed(f"drawing failed: {error}") from error
        finally:
            self._trimmer.look()

    @staticmethod
    def _draw(sketcher: Sketcher, bundles: Sequence[Bundle]) -> list[Image]:
        drawn = iter(sketcher.draw([replace(bundle, edges=None) for bundle in bundles if _for_network(bundle)]))
        return [next(drawn) if _for_network(bundle) else render(bundle) for bundle in bundles]

    def close(self) -> None:
        """Let go of the network."""
        self._sketcher = None


def _for_network(bundle: Bundle) -> bool:
    """Whether the network draws this better than the preview.

    The present weights hardly know edges: beside a thumbnail they gain nothing from them and draw fringes along them,
    and the preview pulls a palette apart along its edges better (LPIPS-Alex on two photographs 0.42 and 0.49, against
    0.54 and 0.57).
    """
    return bundle.thumbnail is not None or (bundle.palette is not None and bundle.edges is None)
