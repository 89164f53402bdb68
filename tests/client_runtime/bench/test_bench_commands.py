from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from client_runtime.bench import architectures
from proxy.cli import app


def bench(*words: str) -> Any:
    return CliRunner().invoke(app, ["bench", "engine", *words])


QUICK = ("--size", "64", "--calls", "1", "--batch", "1", "--threads", "1", "--device", "cpu")


def test_the_sketch_engine_is_measured() -> None:
    result = bench(*QUICK, "--mode", "thumbnail,edges", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [timing["mode"] for timing in found["timings"]] == ["thumbnail", "edges"]
    assert all(timing["p50_ms"] > 0 and timing["images_per_s"] > 0 for timing in found["timings"])
    assert found["side_px"] == 64 and "sketch engine" in found["notes"][0]


def test_random_weights_are_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.client_runtime.bench.test_architectures import SMALL

    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    monkeypatch.setitem(architectures.ARCHITECTURES, "sd15", architectures.Architecture(SMALL, (text,)))
    result = bench(
        *QUICK, "--profile", "sd15-lcm", "--random-weights", "--steps", "1", "--mode", "prompt", "--markdown"
    )
    assert result.exit_code == 0, result.output
    assert "random weights of the full-size architecture sd15" in result.stdout
    assert "timings do not depend on the weights' values" in result.stdout
    assert "| prompt | 1 |" in result.stdout and "1 step," in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--mode", "sculpture"), "must be among"),
        (("--mode", "prompt"), "this engine draws"),
        (("--batch", "0"), "numbers from 1 to 256"),
        (("--batch", "two"), "numbers from 1 to 256"),
        (("--dtype", "int4"), "must be one of"),
        (("--device", "abacus"), "--device abacus"),
        (("--profile", "sd15-lcm", "--random-weights", "--size", "100"), "multiple of 64"),
        (("--profile", "nothing"), "unknown profile"),
    ],
)
def test_what_cannot_be_measured_is_one_line(words: tuple[str, ...], said: str) -> None:
    result = bench("--threads", "1", *words)
    assert result.exit_code in (1, 2) and said in result.stderr and "Traceback" not in result.stderr


def test_without_weights_the_command_that_fetches_them_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    result = bench("--profile", "sd15-lcm", "--threads", "1")
    assert result.exit_code == 1 and "sketchwire models pull sd15-lcm" in result.stderr
