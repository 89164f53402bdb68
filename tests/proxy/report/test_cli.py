"""`sketchwire report --html`, `--export`, `--compare`, `--until`, `--shared`."""

from __future__ import annotations

import csv
import json
import re
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from proxy.cli import app


def invoke(*words: object) -> Any:
    return CliRunner().invoke(app, ["report", *map(str, words)], env={"COLUMNS": "160"})


def test_a_file_for_its_owner(village: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    result = invoke("--ledger", village, "--since", "7d", "--compare", "--html", out)
    assert result.exit_code == 0 and str(out) in result.stderr and result.stdout == ""
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "The one before" in out.read_text(encoding="utf-8")


def test_exports_have_the_same_records(village: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    names = [tmp_path / f"r.{kind}" for kind in ("csv", "json", "parquet")]
    for name in names:
        result = invoke("--ledger", village, "--since", "14d", "--until", "1h", "--compare", "--export", name)
        assert result.exit_code == 0, result.stderr
    with names[0].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    from_json = json.loads(names[1].read_text())
    from_parquet = parquet.read_table(names[2]).to_pylist()
    assert len(rows) == len(from_json) == len(from_parquet) > 40
    assert {row["period"] for row in rows} == {"this", "before"}
    for name in ("part", "name", "link_bytes"):
        assert [str(line[name]) for line in from_json] == [row[name] for row in rows]
        assert [line[name] for line in from_json] == [line[name] for line in from_parquet]


def test_two_periods_touch(village: Path) -> None:
    """The one before ends where this one begins, and nothing is counted twice."""

    def responses(*words: object) -> int:
        return int(json.loads(invoke("--ledger", village, "--json", *words).stdout)["totals"]["responses"])

    last, before = responses("--since", "7d"), responses("--since", "14d", "--until", "7d")
    assert abs(last + before - 1_500) <= 2 and last > 700 and before > 700
    said = invoke("--ledger", village, "--since", "7d", "--compare").stdout
    match = re.search(r"The period before, of the same length: (\d+) responses", said)
    assert match and abs(int(match[1]) - before) <= 2


def test_dates(village: Path) -> None:
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 5 * 86_400))
    found = json.loads(invoke("--ledger", village, "--json", "--since", day).stdout)
    assert found["first_s"] >= time.mktime(time.strptime(day, "%Y-%m-%d")) - time.timezone - 3_600 * 15
    assert 450 < found["totals"]["responses"] < 700


def test_prices_from_the_configuration(village: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[report]\nprice_per_mb = 1.0\nlink_kbit_s = 100\n")
    found = json.loads(invoke("-c", config, "--ledger", village, "--json").stdout)
    assert found["worth"]["net_money"] == pytest.approx(found["totals"]["saved_bytes"] / 1e6)
    assert found["worth"]["time_s"] == pytest.approx(found["totals"]["saved_bytes"] * 8 / 1e5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--compare",), "--since"),
        (("--since", "1h", "--until", "2h"), "ends before"),
        (("--until", "2026-13-01"), "2026-01-31"),
        (("--export", "x.xlsx"), ".parquet"),
    ],
)
def test_strange_wishes_are_usage_errors(village: Path, words: tuple[str, ...], said: str) -> None:
    result = invoke("--ledger", village, *words)
    assert result.exit_code == 2 and said in re.sub(r"\W*\n\W*", " ", result.stderr)


def test_nothing_since(village: Path) -> None:
    assert "Nothing in the last 1s" in invoke("--ledger", village, "--since", "1s").stdout
