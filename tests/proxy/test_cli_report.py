"""`sketchwire report`: the ledger's figures for people and for machines."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from proxy.cli import app
from proxy.cli.report import size
from proxy.ledger import Ledger, Row


def invoke(*words: object) -> Any:
    return CliRunner().invoke(app, ["report", *map(str, words)], env={"COLUMNS": "160"})


def record(path: Path, *rows: Row) -> Path:
    ledger = Ledger(path)
    for row in rows:
        ledger.record(row)
    ledger.close()
    return path


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    now = time.time()
    return record(
        tmp_path / "state" / "ledger.sqlite",
        Row(
            time_s=now,
            role="downstream",
            decision="reconstructed",
            content_type="image/jpeg",
            mode="thumbnail",
            origin_bytes=100_000,
            link_bytes=2_000,
            delivered_bytes=60_000,
            reconstruct_ms=123.4,
        ),
        Row(
            time_s=now,
            role="downstream",
            decision="original",
            reason="deadline",
            content_type="image/png",
            origin_bytes=50_000,
            link_bytes=3_000,
            refetch_bytes=50_000,
            delivered_bytes=50_000,
        ),
        Row(
            time_s=now - 90_000,
            role="downstream",
            decision="skipped",
            reason="svg",
            origin_bytes=1_000,
            link_bytes=1_300,
        ),
    )


def test_tables_for_people(ledger: Path) -> None:
    result = invoke("--ledger", ledger)
    assert result.exit_code == 0
    wanted = (
        "3 responses",
        "3 images",
        "151 kB",
        "reconstructed",
        "deadline",
        "thumbnail",
        "image/png",
        "123.4",
        "62.7 %",
    )
    for text in wanted:
        assert text in result.stdout


def test_json_has_the_same_figures(ledger: Path) -> None:
    found = json.loads(invoke("--ledger", ledger, "--json").stdout)
    totals = found["totals"]
    assert (totals["images"], totals["origin_bytes"], totals["link_bytes"]) == (3, 151_000, 6_300)
    assert totals["saved_bytes"] == 151_000 - 6_300 - 50_000
    assert totals["saved_percent"] == pytest.approx(62.715, abs=0.001)
    assert {"decision": "original", "reason": "deadline"}.items() <= found["by_decision"][0].items()
    assert found["by_mode"][0]["mode"] == "thumbnail" and found["stages"][0]["p95_ms"] == 123.4


def test_since_leaves_older_rows_out(ledger: Path) -> None:
    assert json.loads(invoke("--ledger", ledger, "--since", "24h", "--json").stdout)["totals"]["images"] == 2
    assert json.loads(invoke("--ledger", ledger, "--since", "2d", "--json").stdout)["totals"]["images"] == 3


@pytest.mark.parametrize("since", ["24", "h", "-1h", "1y", "tomorrow"])
def test_a_strange_period_is_a_usage_error(ledger: Path, since: str) -> None:
    result = invoke("--ledger", ledger, f"--since={since}")
    assert result.exit_code == 2 and "24h" in result.stderr


def test_a_missing_ledger_is_friendly(tmp_path: Path) -> None:
    result = invoke("--ledger", tmp_path / "none.sqlite")
    assert result.exit_code == 0 and "Nothing to report yet" in result.stdout and "sketchwire up" in result.stdout
    found = json.loads(invoke("--ledger", tmp_path / "none.sqlite", "--json").stdout)
    assert found["exists"] is False and found["totals"]["images"] == 0 and found["totals"]["saved_percent"] is None


def test_an_empty_ledger_or_period_is_friendly(tmp_path: Path, ledger: Path) -> None:
    empty = Ledger(tmp_path / "empty.sqlite")
    empty.flush()
    empty.close()
    assert "Nothing to report yet" in invoke("--ledger", tmp_path / "empty.sqlite").stdout
    record(tmp_path / "old.sqlite", Row(time_s=time.time() - 7_200, role="downstream", decision="skipped"))
    assert "Nothing in the last 1h" in invoke("--ledger", tmp_path / "old.sqlite", "--since", "1h").stdout


def test_a_file_that_is_no_ledger_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no database" * 100)
    result = invoke("--ledger", tmp_path / "x")
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1


def test_the_configuration_says_where_the_ledger_is(tmp_path: Path, ledger: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[downstream]\nstate_dir = "{ledger.parent}"\n[upstream]\nstate_dir = "{tmp_path}/up"')
    assert json.loads(invoke("-c", config, "--json").stdout)["totals"]["images"] == 3
    record(tmp_path / "up" / "ledger.sqlite", Row(time_s=time.time(), role="upstream", decision="skipped"))
    assert json.loads(invoke("-c", config, "--role", "upstream", "--json").stdout)["totals"]["images"] == 1


def test_rows_of_a_shared_file_are_not_counted_twice(ledger: Path) -> None:
    record(ledger, Row(time_s=time.time(), role="upstream", decision="skipped"))
    assert json.loads(invoke("--ledger", ledger, "--json").stdout)["totals"]["images"] == 3
    assert json.loads(invoke("--ledger", ledger, "--role", "upstream", "--json").stdout)["totals"]["images"] == 1


def test_an_upstream_ledger_needs_no_option(tmp_path: Path) -> None:
    path = record(tmp_path / "u.sqlite", Row(time_s=time.time(), role="upstream", decision="skipped"))
    assert json.loads(invoke("--ledger", path, "--json").stdout)["totals"]["images"] == 1


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (-2_500, "-2.5 kB"),
        (5 * 10**15, "5,000 TB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
