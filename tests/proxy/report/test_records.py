"""The figures as flat records."""

from __future__ import annotations

from pathlib import Path

from proxy.ledger.read import Scope
from proxy.report.content import Wanted, gather
from proxy.report.records import EMPTY, records
from tests.proxy.report.conftest import NOW_S


def test_every_part_adds_up_to_the_total(village: Path) -> None:
    found = gather(village, Wanted(NOW_S + 1, Scope(), domain_k=1, quality_place=village))
    lines = list(records(found))
    assert all(line.keys() == EMPTY.keys() for line in lines)
    [total] = [line for line in lines if line["part"] == "total"]
    assert total["saved_bytes"] == total["origin_bytes"] - total["link_bytes"] - total["refetch_bytes"]
    for part in ("decision", "content_type", "domain", "subscriber", "time"):
        several = [line for line in lines if line["part"] == part]
        assert len(several) > 3
        for name in ("origin_bytes", "link_bytes", "responses", "refetches"):
            assert sum(line[name] for line in several) == total[name], (part, name)
    assert {line["part"] for line in lines} >= {"images", "mode", "engine", "kind", "stage", "quality"}
