"""The diffusers face of the engine draws the same pictures from the same files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("diffusers")

from client_runtime.engines.sketch.draw import Sketcher
from client_runtime.engines.sketch.load import load_network
from client_runtime.engines.sketch.model import SketchModel
from client_runtime.engines.sketch.network import Shape, SketchNetwork
from client_runtime.engines.sketch.pipeline import SketchPipeline
from client_runtime.training.checkpoint import export
from proxy.bundle import Bundle


def test_saves_loads_and_draws(
    network: SketchNetwork, shape: Shape, bundle_of: Callable[..., Bundle], tmp_path: Path
) -> None:
    export(tmp_path / "ours", network.state_dict(), shape, half=False)
    model = SketchModel.from_pretrained(tmp_path / "ours")
    bundle = bundle_of(40, 56)
    (expected,) = Sketcher(load_network(tmp_path / "ours")).draw([bundle])
    (drawn,) = SketchPipeline(model)(bundle, output_type="np").images
    assert np.array_equal(drawn, expected)

    model.save_pretrained(tmp_path / "theirs")
    (again,) = Sketcher(load_network(tmp_path / "theirs")).draw([bundle])
    assert np.array_equal(again, expected)
    assert SketchPipeline(model)([bundle]).images[0].size == (56, 40)
