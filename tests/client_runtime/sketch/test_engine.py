from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from client_runtime.engines import sketch
from client_runtime.engines.base import EngineFailed, EngineUnavailable, Task
from client_runtime.engines.sketch.engine import SketchEngine
from client_runtime.engines.sketch.network import Shape, SketchNetwork
from client_runtime.training.checkpoint import export
from proxy.bundle import Bundle, UnsupportedBundle
from proxy.bundle.preview import render
from proxy.config import RuntimeConfig

Make = Callable[..., Bundle]


@pytest.fixture
def folder(network: SketchNetwork, shape: Shape, tmp_path: Path) -> Path:
    export(tmp_path, network.state_dict(), shape)
    return tmp_path


def test_draws_tasks(folder: Path, bundle_of: Make) -> None:
    engine = SketchEngine.load(folder, threads=1)
    first, second = engine.reconstruct([Task(bundle_of(40, 32)), Task(bundle_of(8, 9, "pe"), "words")])
    assert first.shape == (40, 32, 3) and second.shape == (8, 9, 3)
    engine.close()
    with pytest.raises(EngineFailed):
        engine.reconstruct([Task(bundle_of(8, 8))])


@pytest.mark.parametrize(
    ("sections", "by_network"), [("t", True), ("te", True), ("p", True), ("pe", False), ("e", False)]
)
def test_the_network_draws_what_it_is_better_at(folder: Path, bundle_of: Make, sections: str, by_network: bool) -> None:
    bundle = bundle_of(48, 64, sections)
    (drawn,) = SketchEngine.load(folder).reconstruct([Task(bundle)])
    assert np.array_equal(drawn, render(bundle)) != by_network


def test_words_alone_are_refused(folder: Path) -> None:
    with pytest.raises(UnsupportedBundle):
        SketchEngine.load(folder).reconstruct([Task(Bundle(8, 8), "a cat")])


def test_the_fingerprint_follows_the_weights(folder: Path, network: SketchNetwork, shape: Shape) -> None:
    before = SketchEngine.load(folder).capabilities()
    assert before == SketchEngine.load(folder).capabilities()
    weights = network.state_dict()
    weights["leave.bias"] = weights["leave.bias"] + 1
    export(folder, weights, shape)
    assert SketchEngine.load(folder).capabilities().fingerprint != before.fingerprint


def test_damaged_weights_say_what_to_do(folder: Path) -> None:
    (folder / sketch.CONFIG_FILE).write_text('{"width": 16}')
    with pytest.raises(EngineUnavailable, match="reinstall"):
        SketchEngine.load(folder)
    (folder / sketch.WEIGHTS_FILE).write_bytes(b"x" * 64)
    with pytest.raises(EngineUnavailable, match="reinstall"):
        SketchEngine.load(folder)


def test_without_weights_the_factory_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketch, "WEIGHTS", tmp_path)
    assert sketch.weights_path() is None
    with pytest.raises(EngineUnavailable, match="no weights"):
        sketch.factory(RuntimeConfig())


def test_the_package_imports_neither_torch_nor_diffusers_early() -> None:
    code = "import sys, client_runtime.engines.sketch as s; s.weights_path(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import sys, client_runtime.engines.sketch.engine; sys.exit('diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(sketch.weights_path() is None, reason="this checkout has no weights")
def test_the_packaged_weights_draw(bundle_of: Make) -> None:
    path = sketch.weights_path()
    assert path is not None and path.stat().st_size <= 15 * 1024 * 1024
    engine = sketch.factory(RuntimeConfig(threads=1))
    (drawn,) = engine.reconstruct([Task(bundle_of(96, 96))])
    assert np.ptp(drawn) > 100
