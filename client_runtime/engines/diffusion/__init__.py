"""The paper's engine: Stable Diffusion with ControlNet through diffusers, on weights that the user fetches.

In: a `RuntimeConfig` (`profile` says which weights). Out: the engine; importing this imports no torch.
Refuses: to work without weights (`EngineUnavailable` with the command that fetches them). It never downloads.
"""

from __future__ import annotations

import os

from client_runtime.engines.base import Engine, EngineUnavailable, Fallback
from client_runtime.engines.diffusion.profile import ProfileError, load_profile
from client_runtime.engines.diffusion.weights import WeightsError, WeightsMissing, find
from proxy.config import RuntimeConfig


def factory(config: RuntimeConfig) -> Engine:
    """The engine for the registry. Raises EngineUnavailable."""
    try:
        profile = load_profile(config.profile)
        found = find(profile)
    except ProfileError as error:
        raise EngineUnavailable(f"diffusion: {error}") from error
    except WeightsMissing as error:
        raise EngineUnavailable(f"diffusion: {error}", Fallback.MISSING_WEIGHTS) from error
    except WeightsError as error:
        raise EngineUnavailable(f"diffusion: {error}", Fallback.BROKEN_WEIGHTS) from error
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads take three times as long on a busy machine
    try:
        from client_runtime.engines.diffusion.engine import DiffusionEngine
    except ImportError as error:
        raise EngineUnavailable(f"diffusion: {error}; pip install 'sketchwire[diffusion]'") from error
    return DiffusionEngine.load(profile, found, config)
