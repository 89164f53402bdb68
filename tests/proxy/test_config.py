"""The configuration: defaults, files, overrides, and errors that say what to write instead."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from proxy.config import Config, ConfigError, load


def written(folder: Path, text: str) -> Path:
    file = folder / "sketchwire.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_without_a_file_everything_is_default() -> None:
    assert load() == Config()


def test_a_file_changes_only_what_it_names(tmp_path: Path) -> None:
    config = load(
        written(tmp_path, '[upstream]\nlisten_port = 9\n[downstream]\nmodes = ["edges"]\n[ledger]\nkeep_days = 2')
    )
    assert config.upstream.listen_port == 9
    assert config.downstream.modes == ("edges",)
    assert config.ledger.keep_days == 2.0 and isinstance(config.ledger.keep_days, float)
    assert config.runtime == Config().runtime


def test_overrides_come_after_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "[upstream]\nlisten_port = 9\nencode_queue = 7")
    upstream = load(file, {"upstream": {"listen_port": 10}}).upstream
    assert (upstream.listen_port, upstream.encode_queue) == (10, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[upstrem]", r"unknown table 'upstrem'; did you mean 'upstream'\?"),
        ("[upstream]\nlisten_prt = 1", r"\[upstream\]: unknown key 'listen_prt'; did you mean 'listen_port'\?"),
        ("[upstream]\nlisten_port = '1'", "must be of type int"),
        ("[upstream]\nlisten_port = true", "must be of type int"),
        ("[upstream]\nlisten_port = 70000", "port number"),
        ("[upstream]\nmode = 'best'", "must be one of auto"),
        ("[upstream]\nallow_private_targets = ['intranet']", "host:port"),
        ("[downstream]\nupstream = 'proxy:8081'", "must start with http"),
        ("[downstream]\nmodes = 'edges'", "must be a list of strings"),
        ("[ledger]\nkeep_days = nan", "must be at least"),
        ("upstream = 1", r"must be a table, written \[upstream\]"),
        ("not toml", "Expected"),
    ],
)
def test_errors_name_the_file_and_what_to_write(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        load(file)
    assert str(file) in str(caught.value)


def test_errors_in_overrides_name_the_command_line() -> None:
    with pytest.raises(ConfigError, match="command line"):
        load(None, {"runtime": {"listen_port": -1}})


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such"):
        load(tmp_path / "no-such.toml")


def test_every_field_is_documented_and_passes_its_own_check() -> None:
    for table in fields(Config):
        section = getattr(Config(), table.name)
        for field in fields(section):
            assert field.metadata["doc"].endswith("."), f"{table.name}.{field.name} has no sentence of documentation"
            check = field.metadata["check"]
            assert check is None or check(getattr(section, field.name)) is None


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().upstream.listen_port = 1  # type: ignore[misc]
