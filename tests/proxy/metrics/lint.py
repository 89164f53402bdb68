"""Prometheus' naming rules, after `promtool check metrics`."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

NOT_BASE = ("ms", "milliseconds", "microseconds", "minutes", "hours", "kb", "kib", "kilobytes", "megabytes", "percent")


def problems(text: str) -> list[str]:
    """What is wrong with an exposition; empty when nothing is."""
    found = []
    counters = set(re.findall(r"^# TYPE (\S+) counter$", text, re.MULTILINE))
    for name in counters:
        if not name.endswith("_total"):
            found.append(f"{name}: a counter's name ends in _total")
    for family in text_string_to_metric_families(text):
        name, kind = family.name, family.type
        if not family.documentation.strip():
            found.append(f"{name}: no help")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            found.append(f"{name}: lower case and underscores only")
        if any(part in NOT_BASE for part in name.split("_")):
            found.append(f"{name}: not in a base unit")
        if kind != "counter" and name.endswith(("_total", "_count", "_sum", "_bucket")):
            found.append(f"{name}: _total is for counters, _count, _sum and _bucket for histograms")
        if any(word in name.split("_") for word in ("counter", "gauge", "histogram")):
            found.append(f"{name}: the type is in the name")
        for sample in family.samples:
            if any(not re.fullmatch(r"[a-z][a-z0-9_]*", label) for label in sample.labels):
                found.append(f"{name}: labels are lower case")
    return found
