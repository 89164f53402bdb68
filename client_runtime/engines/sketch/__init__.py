"""The embedded engine: our own one-step decoder, its weights in the package.

In: a `RuntimeConfig`. Out: the engine, or where its weights are; importing this imports no torch.
Refuses: to work without torch or weights (`EngineUnavailable`).
"""

from __future__ import annotations

import os
from pathlib import Path

from client_runtime.engines.base import Engine, EngineUnavailable
from proxy.config import RuntimeConfig

WEIGHTS = Path(__file__).parent / "weights"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"  # the name by which diffusers finds it
CONFIG_FILE = "config.json"


def weights_path() -> Path | None:
    """The packaged weights, or None when this installation has none."""
    path = WEIGHTS / WEIGHTS_FILE
    return path if path.is_file() and (WEIGHTS / CONFIG_FILE).is_file() else None


def factory(config: RuntimeConfig) -> Engine:
    """The engine for the registry. Raises EngineUnavailable."""
    if weights_path() is None:
        raise EngineUnavailable(
            f"sketch: no weights in {WEIGHTS}; reinstall the package, or train them: sketchwire train --help"
        )
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads take three times as long on a busy machine
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")  # of kernels, by picture size: 1,024 weigh 100 MiB
    try:
        from client_runtime.engines.sketch.engine import SketchEngine
    except ImportError as error:
        raise EngineUnavailable(f"sketch: {error}; pip install 'sketchwire[runtime]'") from error
    return SketchEngine.load(WEIGHTS, config.threads)
