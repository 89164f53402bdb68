"""The engine as the service uses it: made by the registry, its modes, its errors, both families."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from client_runtime import engines
from client_runtime.engines.base import EngineFailed, EngineUnavailable, Fallback, Task
from client_runtime.engines.diffusion.engine import DiffusionEngine
from client_runtime.engines.diffusion.profile import load_profile
from client_runtime.engines.diffusion.weights import find
from proxy.bundle import Bundle, UnsupportedBundle
from proxy.config import RuntimeConfig
from tests.client_runtime.diffusion.conftest import CPU
from tests.client_runtime.diffusion.tiny import write_profile

WORDS = Task(Bundle(64, 64), "a cat")


@pytest.fixture
def engine(tiny: Path) -> DiffusionEngine:
    made = engines.create(RuntimeConfig(engine="diffusion", profile=str(tiny), threads=1))
    assert isinstance(made, DiffusionEngine)
    return made


def test_the_registry_makes_it_from_a_profile(engine: DiffusionEngine, tiny: Path) -> None:
    told = engine.capabilities()
    assert told.engine == "diffusion" and len(told.fingerprint) == 64
    assert set(told.modes) == {"prompt", "edges", "edges+palette", "thumbnail", "salient"}
    assert engine.reconstruct([WORDS])[0].shape == (64, 64, 3)
    engine.close()
    with pytest.raises(EngineFailed, match="closed"):
        engine.reconstruct([WORDS])


def test_sdxl_draws_in_every_way(tmp_path: Path, bundle_of: Callable[..., Bundle]) -> None:
    folder = write_profile(tmp_path, "sdxl", tiny_vae=None, guidance=3.0, scheduler="euler-trailing")
    profile = load_profile(folder)
    engine = DiffusionEngine.load(profile, find(profile), RuntimeConfig(threads=1), CPU)
    for sections in ("e", "pe", "tes"):
        bundle = bundle_of(60, 90, sections)
        assert engine.reconstruct([Task(bundle, "a cat")])[0].shape == (60, 90, 3)
    assert engine.reconstruct([WORDS])[0].shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), Fallback.OUT_OF_MEMORY),
        (MemoryError(), Fallback.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), Fallback.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: an illegal memory access"), Fallback.ENGINE_FAILED),
    ],
    ids=repr,
)
def test_what_breaks_while_drawing_has_a_reason(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: Fallback
) -> None:
    def fail(tasks: Any) -> Any:
        raise error

    monkeypatch.setattr(engine._painter, "draw", fail)
    with pytest.raises(EngineFailed) as failed:
        engine.reconstruct([WORDS])
    assert failed.value.reason is reason


def test_bundles_without_words_or_structure_are_refused(engine: DiffusionEngine) -> None:
    with pytest.raises(UnsupportedBundle):
        engine.reconstruct([Task(Bundle(64, 64), None)])


def test_a_first_picture_that_fails_keeps_it_from_starting(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(painter: Any) -> None:
        raise EngineFailed("the model drew a black picture", Fallback.BROKEN_IMAGE)

    monkeypatch.setattr("client_runtime.engines.diffusion.draw.Painter.warm_up", fail)
    monkeypatch.setattr("client_runtime.engines.diffusion.engine.compile_parts", lambda components: None)
    profile = load_profile(tiny)
    with pytest.raises(EngineUnavailable, match="first picture") as broken:
        DiffusionEngine.load(profile, find(profile), RuntimeConfig(compile=True), CPU)
    assert broken.value.reason is Fallback.BROKEN_IMAGE


def test_the_warm_up_draws_with_words_and_with_edges(engine: DiffusionEngine) -> None:
    assert engine._painter is not None
    engine._painter.warm_up()
    assert engine._painter.batches == [1, 1]
