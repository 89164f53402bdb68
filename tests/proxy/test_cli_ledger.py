"""`sketchwire ledger` and `sketchwire forget`: exports, forgetting, keys, migration."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from proxy.cli import app
from proxy.gallery.shelf import Shelf
from proxy.ledger import Ledger, Row
from proxy.ledger.pseudonym import load_key, pseudonym
from proxy.ledger.schema import MIGRATIONS
from tests.proxy.gallery.pictures import pair

ADA = "a" * 16


def invoke(*words: object) -> Any:
    return CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "160"})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose downstream ledger knows ada, by pseudonym, and 192.0.2.7, by address."""
    key = load_key(tmp_path / "state" / "ledger.key")
    ledger = Ledger(tmp_path / "state" / "ledger.sqlite")
    for who in (ADA, ADA, pseudonym(key, "address 192.0.2.7"), pseudonym(key, "user eve")):
        ledger.record(
            Row(time_s=time.time(), role="downstream", decision="skipped", subscriber=who, origin_bytes=1_000)
        )
    ledger.close()
    file = tmp_path / "c.toml"
    file.write_text(f'[downstream]\nstate_dir = "{tmp_path}/state"\n')
    return file


def test_subscribers_are_listed(config: Path) -> None:
    found = invoke("ledger", "subscribers", "-c", config).stdout
    assert ADA in found and "2.0 kB" in found


@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
def test_an_export_has_everything_about_one(config: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / f"ada.{form}"
    done = invoke("ledger", "export", "-c", config, "--subscriber", ADA, "--format", form, "--out", out)
    assert done.exit_code == 0, done.stderr
    if form == "json":
        records = json.loads(out.read_text())
    elif form == "csv":
        records = list(csv.DictReader(io.StringIO(out.read_text())))
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        records = parquet.read_table(out).to_pylist()
    assert len(records) == 2 and {record["subscriber"] for record in records} == {ADA}
    assert {int(record["origin_bytes"]) for record in records} == {1_000}
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_an_export_to_the_terminal(config: Path) -> None:
    assert len(json.loads(invoke("ledger", "export", "-c", config, "--client", "192.0.2.7").stdout)) == 1
    assert len(json.loads(invoke("ledger", "export", "-c", config, "--client", "eve").stdout)) == 1
    assert invoke("ledger", "export", "-c", config, "--subscriber", ADA, "--format", "parquet").exit_code == 1


def test_forgetting_takes_pictures_too(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text() + f'[upstream]\nstate_dir = "{tmp_path}/state"\n')
    Shelf(tmp_path / "state" / "gallery", 2, 86_400.0).put(pair(0.5), ADA)
    told = invoke("forget", ADA, "-c", config).stdout
    assert "1 pictures of the gallery" in told and "2 rows deleted" in told
    assert list((tmp_path / "state" / "gallery").iterdir()) == []


def test_forgetting(config: Path) -> None:
    assert "1 rows deleted" in invoke("forget", "--client", "192.0.2.7", "-c", config).stdout
    assert invoke("forget", "--client", "192.0.2.7", "-c", config).exit_code == 1
    assert "2 rows deleted" in invoke("forget", ADA, "-c", config).stdout
    assert json.loads(invoke("report", "-c", config, "--json").stdout)["totals"]["responses"] == 4
    assert invoke("forget", "-c", config).exit_code == 2


def test_a_new_key_cuts_the_tie(config: Path) -> None:
    before = invoke("ledger", "pseudonym", "192.0.2.7", "-c", config).stdout
    assert invoke("ledger", "rotate-key", "-c", config).exit_code == 0
    assert invoke("ledger", "pseudonym", "192.0.2.7", "-c", config).stdout != before
    assert invoke("forget", "--client", "192.0.2.7", "-c", config).exit_code == 1


def test_a_ledger_is_migrated(tmp_path: Path) -> None:
    from tests.proxy.ledger.test_schema import VERSION_1

    file = tmp_path / "old.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(VERSION_1)
    connection.close()
    old = invoke("report", "--ledger", file)
    assert old.exit_code == 1 and "ledger migrate" in old.stderr
    assert f"format {len(MIGRATIONS)}" in invoke("ledger", "migrate", "--ledger", file).stdout
    assert invoke("report", "--ledger", file).exit_code == 0
