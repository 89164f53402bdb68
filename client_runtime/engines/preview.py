"""The engine without a model: thumbnails and palettes upsampled, true crops pasted in. It works everywhere.

In: tasks; prompts are of no use here. Out: the same pictures as `proxy.bundle.preview.render`.
Refuses: bundles with nothing to show (`UnsupportedBundle`: a blank sheet is worse than the original), and broken ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from client_runtime.engines.base import Capabilities, Image, Task
from proxy.bundle import UnsupportedBundle
from proxy.bundle.preview import VERSION, render
from proxy.config import RuntimeConfig

MODES = ("edges", "edges+palette", "thumbnail", "salient")


class PreviewEngine:
    """Draws one task at a time, deterministically; see `Engine`."""

    def capabilities(self) -> Capabilities:
        """The id `preview`; the fingerprint changes with the renderer's version."""
        digest = hashlib.sha256(b"preview %d" % VERSION).hexdigest()
        return Capabilities("preview", digest, MODES, together=1)

    def reconstruct(self, tasks: Sequence[Task]) -> list[Image]:
        """One uint8 array (height, width, 3) per task. Raises BundleError."""
        return [_draw(task) for task in tasks]

    def close(self) -> None:
        """Nothing to give back."""


def _draw(task: Task) -> Image:
    bundle = task.bundle
    if bundle.thumbnail is None and bundle.palette is None and bundle.edges is None:
        raise UnsupportedBundle("a bundle without edges, palette or thumbnail needs an engine that draws from words")
    return render(bundle)


def factory(config: RuntimeConfig) -> PreviewEngine:
    """The engine for the registry; `config` has nothing that it needs."""
    return PreviewEngine()
