"""The report's figures as flat records, for spreadsheets and scripts.

In: a `Report`. Out: dictionaries with the same keys, one per figure of a table. Refuses nothing.

`part` says which table a record is of: total, images, decision, mode, content_type, engine, kind, domain, subscriber,
time (with `start_s`), stage or quality (with percentiles); `name` and `reason` say which line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from proxy.ledger.answers import Group, Totals
from proxy.report.content import Report

EMPTY: dict[str, Any] = {
    "period": "", "part": "", "name": "", "reason": "", "start_s": None, **asdict(Totals()), "saved_bytes": 0,
    "saved_percent": None, "p5": None, "p50": None, "p95": None, "p99": None, "time_saved_s": None, "money_saved": None,
}  # fmt: skip


def records(report: Report, period: str = "this") -> Iterator[dict[str, Any]]:
    """All figures of one period."""
    for record in _records(report):
        yield EMPTY | {"period": period} | record


def _records(report: Report) -> Iterator[dict[str, Any]]:
    found = report.summary
    worth = {"time_saved_s": report.worth.time_s, "money_saved": report.worth.net_money}
    yield {"part": "total", "start_s": report.since_s, **_sums(found.totals), **worth}
    yield {"part": "images", "start_s": report.since_s, **_sums(found.images)}
    parts: dict[str, tuple[Group, ...]] = {
        "decision": found.by_decision, "mode": found.by_mode, "content_type": found.by_content_type,
        "engine": found.by_engine, "kind": found.by_kind, "domain": found.by_domain, "subscriber": report.subscribers,
    }  # fmt: skip
    for part, groups in parts.items():
        for group in groups:
            name, reason = (*group.key, "")[:2]
            yield {"part": part, "name": name, "reason": reason, **_sums(group.totals)}
    for point in report.points:
        yield {"part": "time", "start_s": float(point.start_s), **_sums(point.totals)}
    for stage in found.stages:
        marks = {"p50": stage.p50_ms, "p95": stage.p95_ms, "p99": stage.p99_ms}
        yield {"part": "stage", "name": stage.name, "responses": stage.responses, **marks}
    if report.quality is not None:
        marks = {"p5": report.quality.p5, "p50": report.quality.p50, "p95": report.quality.p95}
        yield {"part": "quality", "images": report.quality.images, **marks}


def _sums(totals: Totals) -> dict[str, Any]:
    return {**asdict(totals), "saved_bytes": totals.saved_bytes, "saved_percent": totals.saved_percent}
