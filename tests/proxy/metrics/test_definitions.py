"""The proxies' metrics: what is counted, and that names, units and help texts are as Prometheus wants them."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.ledger import Row
from proxy.metrics import Metrics
from proxy.metrics.definitions import COUNTS, GAUGES
from tests.proxy.metrics.lint import problems


def row(**changes: object) -> Row:
    values = {"time_s": 1.0, "role": "downstream", "decision": "reconstructed", "subscriber": "a" * 16}
    return Row(**(values | {"domain": "example.org", "origin_bytes": 9_000} | changes))  # type: ignore[arg-type]


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics("downstream", "1.2.3")
    made.observe(row(link_bytes=1_000, link_up_bytes=300, total_ms=1_500.0, quality=0.93, cache_hit=True))
    made.observe(row(decision="original", reason="deadline", refetch_bytes=8_000, refetches=1))
    made.observe(row(decision="passed", image=False, link_bytes=500, delivered_bytes=400))
    made.observe(row(decision="overhead", image=False, origin_bytes=0, link_bytes=70))
    for number, name in enumerate((*GAUGES, *COUNTS)):
        made.watch(name, lambda number=number: float(number))
    return made


def samples(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        f"{sample.name}{sorted(value for key, value in sample.labels.items() if key != 'role')}": sample.value
        for family in families
        for sample in family.samples
    }


def test_rows_are_counted(metrics: Metrics) -> None:
    found = samples(metrics)
    assert found["sketchwire_responses_total['', 'image', 'reconstructed']"] == 1
    assert found["sketchwire_responses_total['deadline', 'image', 'original']"] == 1
    assert not any("overhead" in name for name in found)
    assert found["sketchwire_origin_bytes_total['image']"] == 18_000
    assert found["sketchwire_link_bytes_total['down', 'image']"] == 700
    assert found["sketchwire_link_bytes_total['image', 'up']"] == 300
    assert found["sketchwire_link_bytes_total['down', 'other']"] == 570
    assert (found["sketchwire_refetch_bytes_total[]"], found["sketchwire_refetches_total[]"]) == (8_000, 1)
    assert found["sketchwire_cache_hits_total[]"] == 1
    assert found["sketchwire_stage_seconds_bucket['1.0', 'total']"] == 0
    assert found["sketchwire_stage_seconds_bucket['2.5', 'total']"] == 1
    assert found["sketchwire_quality_ratio_bucket['0.95']"] == 1


def test_gauges_are_read_when_asked(metrics: Metrics) -> None:
    values = iter((3.0, 4.0))
    metrics.watch("sketchwire_ledger_dropped_rows", lambda: next(values))
    assert [samples(metrics)["sketchwire_ledger_dropped_rows_total[]"] for _ in range(2)] == [3.0, 4.0]
    with pytest.raises(KeyError):
        metrics.watch("sketchwire_unknown", lambda: 0.0)


def test_names_units_and_help_are_as_prometheus_wants_them(metrics: Metrics) -> None:
    assert problems(metrics.text().decode()) == []


def test_labels_name_nobody_and_no_site(metrics: Metrics) -> None:
    text = metrics.text().decode()
    assert "a" * 16 not in text and "example.org" not in text
    labels = set(re.findall(r"[{,](\w+)=\"", text))
    known = {"role", "kind", "decision", "reason", "direction", "stage", "le", "version"}
    assert labels <= known | {"implementation", "major", "minor", "patchlevel"}


def test_codes_from_strangers_are_tamed(metrics: Metrics) -> None:
    metrics.observe(row(reason='x"} 1\nevil 2', decision="made-up"))
    assert samples(metrics)["sketchwire_responses_total['image', 'other', 'other']"] == 1


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("# TYPE x_total counter\nx_total 1\n", "no help"),
        ("# HELP x_ms A time.\n# TYPE x_ms gauge\nx_ms 1\n", "base unit"),
        ("# HELP things Things.\n# TYPE things counter\nthings 1\n", "_total"),
        ("# HELP x_total Things.\n# TYPE x_total gauge\nx_total 1\n", "_total"),
        ("# HELP camelCase Things.\n# TYPE camelCase gauge\ncamelCase 1\n", "lower case"),
    ],
)
def test_the_rules_find_what_is_wrong(text: str, wrong: str) -> None:
    assert any(wrong in problem for problem in problems(text))
