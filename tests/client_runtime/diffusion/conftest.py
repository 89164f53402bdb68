"""Tiny profiles saved once, their components loaded once, and bundles of every kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from client_runtime.engines.diffusion.draw import Painter
from client_runtime.engines.diffusion.load import Components, load
from client_runtime.engines.diffusion.profile import Profile, load_profile
from client_runtime.engines.diffusion.weights import find
from tests.client_runtime.diffusion.tiny import write_profile
from tests.client_runtime.sketch.conftest import bundle_of, picture

__all__ = ["bundle_of", "picture"]

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Networks this small only get slower with more; and nothing is remembered in the user's own folder."""
    torch.set_num_threads(1)
    monkeypatch.setattr("client_runtime.engines.diffusion.weights.DIGESTS", tmp_path / "digests.json")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile's folder; tests that change files copy it."""
    return write_profile(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def profile(tiny: Path) -> Profile:
    return load_profile(tiny)


@pytest.fixture(scope="session")
def components(profile: Profile) -> Components:
    return load(profile, find(profile), CPU)


@pytest.fixture
def paint(profile: Profile, components: Components) -> Callable[..., Painter]:
    """Makes painters on the shared components; keyword arguments change the profile or are the painter's own."""
    own = ("largest_batch", "measure", "fixed_batches")

    def make(**changes: object) -> Painter:
        options = {name: changes.pop(name) for name in own if name in changes}
        return Painter(components, replace(profile, **changes), **options)  # type: ignore[arg-type]

    return make
