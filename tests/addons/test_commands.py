from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from addons.commands import register
from proxy.config import Config

app = typer.Typer()
register(app)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Config, Path | None, float]]:
    """What the commands would run."""
    runs: list[tuple[Config, Path | None, float]] = []

    def run(config: Config, ready_file: Path | None, drain_s: float, load: object) -> None:
        runs.append((config, ready_file, drain_s))

    for name in ("run_upstream", "run_downstream"):
        monkeypatch.setattr(f"addons.run.{name}", run)
    return runs


def test_options_override_the_file(tmp_path: Path, started: list[Any]) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[upstream]\nlisten_port = 1\nmode = "edges"\n')
    arguments = ["upstream", "-c", str(file), "--port", "0", "--allow-private-target", "a.test:80", "--drain-s", "1.5"]
    result = CliRunner().invoke(app, [*arguments, "--ready-file", str(tmp_path / "r")])
    assert result.exit_code == 0, result.output
    ((config, ready, drain_s),) = started
    assert (config.upstream.listen_port, config.upstream.mode) == (0, "edges")
    assert config.upstream.allow_private_targets == ("a.test:80",)
    assert ready == tmp_path / "r" and drain_s == 1.5


def test_downstream_can_do_without_a_runtime(started: list[Any]) -> None:
    result = CliRunner().invoke(app, ["downstream", "--runtime", "", "--upstream", "http://up.test:1", "--host", "::1"])
    assert result.exit_code == 0, result.output
    config = started[0][0].downstream
    assert (config.runtime, config.upstream, config.listen_host) == ("", "http://up.test:1", "::1")


def test_bad_values_are_refused(started: list[Any]) -> None:
    for arguments in (
        ["upstream", "--port", "70000"],
        ["upstream", "--mode", "magic"],
        ["downstream", "--upstream", "up"],
    ):
        assert CliRunner().invoke(app, arguments).exit_code != 0
    assert started == []
