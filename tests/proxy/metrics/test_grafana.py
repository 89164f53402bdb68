"""The shipped alerts and dashboard name only metrics and labels that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from client_runtime.service.metrics import exposition
from proxy.ledger import Row
from proxy.metrics import Metrics
from proxy.metrics.definitions import COUNTS, GAUGES

FOLDER = Path(__file__).parents[3] / "configs" / "grafana"
ALERTS, DASHBOARD = FOLDER / "alerts.yml", FOLDER / "dashboard.json"
NAME = re.compile(r"\b((?:sketchwire|process)_[a-z_]+)\b")


def known() -> set[str]:
    metrics = Metrics("downstream", "1")
    full = {"total_ms": 1.0, "quality": 0.5, "link_bytes": 3, "refetch_bytes": 1}
    metrics.observe(Row(time_s=1.0, role="downstream", decision="error", **full))  # type: ignore[arg-type]
    for name in (*GAUGES, *COUNTS):
        metrics.watch(name, lambda: 1.0)
    texts = (metrics.text(), exposition(lambda: {"reasons": {"oom": 1}}, "sketch", "1"))
    families = [family for text in texts for family in text_string_to_metric_families(text.decode())]
    return {sample.name for family in families for sample in family.samples}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_alerts_ask_for_what_exists() -> None:
    assert len(rules()) >= 6
    for rule in rules():
        assert set(NAME.findall(rule["expr"])) <= known(), rule["alert"]
        assert rule["labels"]["severity"] and rule["annotations"]["summary"] and rule["annotations"]["description"]


def test_the_dashboard_asks_for_what_exists() -> None:
    assert len(queries()) >= 15
    for query in queries():
        assert NAME.findall(query) and set(NAME.findall(query)) <= known(), query
        assert query.count("(") == query.count(")") and query.count("{") == query.count("}")


def test_the_dashboard_is_one_grafana_can_import() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert board["uid"] == "sketchwire" and board["schemaVersion"] >= 36
    assert [panel["id"] for panel in board["panels"]] == list(range(1, len(board["panels"]) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_accepts_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(ALERTS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_accepts_the_dashboard_s_queries(tmp_path: Path) -> None:
    plain = [query.replace("$__rate_interval", "5m").replace("$__range", "6h") for query in queries()]
    recorded = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(plain)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    done = subprocess.run(["promtool", "check", "rules", str(tmp_path / "queries.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
@pytest.mark.parametrize("part", ["proxy", "runtime"])
def test_promtool_accepts_the_metrics(part: str) -> None:
    metrics = Metrics("downstream", "1")
    metrics.observe(Row(time_s=1.0, role="downstream", decision="skipped", total_ms=3.0))
    text = metrics.text() if part == "proxy" else exposition(lambda: {"reasons": {"oom": 1}}, "sketch", "1")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    ours = [line for line in done.stderr.decode().splitlines() if "sketchwire" in line]
    assert ours == []
