from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from client_runtime.engines.sketch.load import load_network
from client_runtime.engines.sketch.network import Shape
from client_runtime.training import checkpoint
from client_runtime.training.commands import app
from client_runtime.training.options import Losses, Options
from client_runtime.training.train import Run, train


@pytest.fixture
def options(images: Path, perception: Path, shape: Shape, tmp_path: Path) -> Options:
    return Options(
        images, tmp_path / "out", perception, steps=2, images=1, crop_px=32, workers=0, shape=shape, warm_up_steps=1
    )


def test_two_steps_leave_everything_that_is_needed(options: Options) -> None:
    ran = train(options)
    assert ran.steps == 2
    network = load_network(options.out)
    assert all(torch.isfinite(p).all() for p in network.parameters())
    state = checkpoint.load(options.out)
    assert state is not None and state["step"] == 2 and state["options"]["crop_px"] == 32


def test_a_run_resumes(options: Options) -> None:
    train(options)
    run = Run(replace(options, steps=4))
    assert run.step == 2
    assert run.train().steps == 4


def test_resuming_equals_running_through(options: Options, tmp_path: Path) -> None:
    through = replace(options, steps=0, minutes=60, out=tmp_path / "through")
    run = Run(through)
    for _, batch in zip(range(4), run.batches(), strict=False):
        run.one_step(batch, 0.5)
    part = Run(replace(through, out=tmp_path / "part"))
    for _, batch in zip(range(2), part.batches(), strict=False):
        part.one_step(batch, 0.5)
    part.save(None)
    rest = Run(replace(through, out=tmp_path / "part"))
    for _, batch in zip(range(2), rest.batches(), strict=False):
        rest.one_step(batch, 0.5)
    for name, value in run.network.state_dict().items():
        assert torch.allclose(value, rest.network.state_dict()[name], atol=1e-5), name


def test_the_adversary_joins(options: Options) -> None:
    run = Run(replace(options, losses=Losses(adversary=0.1, adversary_from=0.0)))
    terms = run.one_step(next(run.batches()), 0.5)
    assert {"adversary", "judge"} <= terms.keys()


def test_it_learns(options: Options) -> None:
    run = Run(replace(options, steps=0, minutes=60, rate=5e-3, losses=Losses(lpips=0, dists=0)))
    batch = next(run.batches())
    losses = [run.one_step(batch, 0.0)["pixels"] for _ in range(25)]
    assert losses[-1] < 0.97 * losses[0]


def test_starts_from_weights_alone_also_of_a_shallower_network(options: Options, tmp_path: Path) -> None:
    train(options)
    weights = options.out / checkpoint.WEIGHTS
    run = Run(replace(options, out=tmp_path / "next", start_from=weights))
    batch = next(run.batches())
    planes = [batch[name] for name in ("colour", "edges", "mask", "noise", "facts")]
    deeper = Run(
        replace(options, out=tmp_path / "deeper", start_from=weights, shape=replace(options.shape, blocks_deep=3))
    )
    with torch.no_grad():
        assert torch.allclose(run.network(*planes), deeper.network(*planes), atol=1e-5)
    with pytest.raises(ValueError, match="another network"):
        Run(replace(options, out=tmp_path / "wider", start_from=weights, shape=replace(options.shape, width=16)))


def test_stops_when_told(options: Options) -> None:
    run = Run(replace(options, steps=1000))
    run.stop()
    assert run.train().steps == 0


def test_options_that_never_end_are_refused(options: Options) -> None:
    with pytest.raises(ValueError, match="never ends"):
        replace(options, steps=0)
    with pytest.raises(ValueError, match="multiple of 16"):
        replace(options, crop_px=40)


def test_the_log_names_its_terms(options: Options) -> None:
    train(replace(options, steps=20))
    lines = [json.loads(line) for line in (options.out / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 20 and {"pixels", "colours", "rate"} <= lines[-1].keys()


def test_the_command_says_what_is_wrong(images: Path, perception: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(images), "--out", str(tmp_path), "--perception", str(perception)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and "never ends" in result.output
    assert "--start-from" in CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
