"""What is generated from the configuration's documentation: shipped examples, the reference page, `config show`."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy.cli import app
from proxy.cli.config import LAYOUTS, TABLES, Example, example, markdown, to_toml, toml_value
from proxy.config import Config, load

ROOT = Path(__file__).parents[2]
HOW = "python -m proxy config {} > {} brings it up to date"


@pytest.mark.parametrize("which", list(Example))
def test_a_shipped_example_is_up_to_date(which: Example) -> None:
    file = ROOT / "configs" / f"{which.value}.toml"
    assert file.read_text(encoding="utf-8") == example(which), HOW.format(f"example {which.value}", file)


def test_only_generated_examples_are_shipped() -> None:
    """Others may live beside them, but these three are always there."""
    assert {f"{which.value}.toml" for which in Example} <= {path.name for path in (ROOT / "configs").iterdir()}


@pytest.mark.parametrize("which", list(Example))
def test_a_shipped_example_loads_with_the_defaults(which: Example) -> None:
    assert load(ROOT / "configs" / f"{which.value}.toml") == Config()


@pytest.mark.parametrize("which", list(Example))
def test_an_example_has_every_key_with_its_documentation_and_default(which: Example, tmp_path: Path) -> None:
    text = example(which)
    active = re.sub(r"(?m)^#(?=\w+ = )", "", text)
    tables = tomllib.loads(active)
    assert set(tables) == set(LAYOUTS[which].tables)
    for name, values in tables.items():
        section = getattr(Config(), name)
        assert list(values) == [f.name for f in fields(section)]
        for field in fields(section):
            above = text.split(f"{field.name} = ")
            assert any(part.rstrip("#").rstrip().splitlines()[-1].startswith("# ") for part in above[:-1])
            assert field.metadata["doc"].split()[0] in text
    file = tmp_path / "all.toml"
    file.write_text(active, encoding="utf-8")
    assert load(file) == Config()


def test_the_demo_example_has_every_table() -> None:
    assert LAYOUTS[Example.DEMO].tables == TABLES


def test_lines_are_short() -> None:
    assert max(len(line) for which in Example for line in example(which).splitlines() if line.startswith("# ")) <= 100


def test_the_reference_page_is_up_to_date_and_complete() -> None:
    file = ROOT / "docs" / "configuration.md"
    assert file.read_text(encoding="utf-8") == markdown(), HOW.format("markdown", file)
    for table in TABLES:
        section = getattr(Config(), table)
        assert f"## `[{table}]`" in markdown()
        for field in fields(section):
            assert re.search(rf"\| `{field.name}` \| .+ \| `.*` \| .+ \|", markdown())


def test_to_toml_round_trips_awkward_values(tmp_path: Path) -> None:
    config = Config()
    config = replace(
        config,
        upstream=replace(
            config.upstream,
            state_dir='/srv/a "quoted"\\ folder\tünï\x7f😀',
            allow_private_targets=("a:1", "b:2"),
            encode_deadline_s=0.1,
            page_text=False,
        ),
        ledger=replace(config.ledger, keep_days=1e6),
    )
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config), encoding="utf-8")
    assert load(file) == config


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (3, "3"), (0.5, "0.5"), ((), "[]"), (("a",), '["a"]')])
def test_values(value: object, text: str) -> None:
    assert toml_value(value) == text


def test_show_prints_what_is_in_force(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[upstream]\nlisten_port = 4711\n")
    result = CliRunner().invoke(app, ["config", "show", "--config", str(file)])
    assert result.exit_code == 0 and tomllib.loads(result.stdout)["upstream"]["listen_port"] == 4711


def test_example_prints_the_file() -> None:
    result = CliRunner().invoke(app, ["config", "example", "upstream"])
    assert result.exit_code == 0 and result.stdout == example(Example.UPSTREAM)


def test_a_wrong_configuration_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[upstream]\nlisten_prt = 4711\n")
    result = CliRunner().invoke(app, ["config", "show", "-c", str(file)])
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert "did you mean 'listen_port'" in result.stderr
