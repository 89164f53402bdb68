"""What a report reads from a ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config import ReportConfig
from proxy.ledger import Ledger, Row
from proxy.ledger.read import Scope
from proxy.report.content import DAY_S, HOUR_S, MOST_POINTS, Wanted, gather
from tests.proxy.report.conftest import NOW_S

WANTED = Wanted(NOW_S + 1, domain_k=3)


def test_the_figures_are_downstreams_and_agree(village: Path) -> None:
    found = gather(village, WANTED)
    assert found.role == "downstream" and found.summary.totals.responses == 1_500
    assert sum(p.totals.origin_bytes for p in found.points) == found.summary.totals.origin_bytes
    assert sum(g.totals.link_bytes for g in found.subscribers) == found.summary.totals.link_bytes
    assert found.until_s - found.since_s == pytest.approx(14 * DAY_S, rel=0.01)
    assert found.worth.rate_measured and 1e5 < (found.worth.rate_bits_s or 0) < 1e6  # the synthetic link has 700 kbit/s


def test_steps_fit_the_period(village: Path) -> None:
    for days, step_s in ((14.0, 6 * HOUR_S), (2.0, HOUR_S), (0.9, 1_800), (0.04, 60)):
        found = gather(village, replace(WANTED, scope=Scope(NOW_S - days * DAY_S)))
        assert found.step_s == step_s and len(found.points) <= MOST_POINTS + 1
        assert sum(p.totals.responses for p in found.points) == found.summary.totals.responses


def test_quality_comes_from_upstreams_rows(village: Path) -> None:
    assert gather(village, WANTED).quality is None
    found = gather(village, replace(WANTED, quality_place=village))
    assert found.quality is not None and found.quality_role == "upstream"
    worst, best = ([row.quality or 0 for row in rows] for rows in (found.worst, found.best))
    assert len(worst) == len(best) == 5 and worst == sorted(worst) and best == sorted(best, reverse=True)
    assert worst[-1] < found.quality.p50 < best[-1]
    one = replace(WANTED, quality_place=village, scope=Scope(subscriber=found.subscribers[0].key[0]))
    assert gather(village, one).quality is None  # upstream does not know downstream's subscribers


def test_a_ledger_for_quality_that_is_missing_or_broken_is_done_without(village: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"no database" * 1000)
    for name in ("none", "broken"):
        assert gather(village, replace(WANTED, quality_place=tmp_path / name)).quality is None


def test_a_shared_report_has_no_people_and_no_single_images(village: Path) -> None:
    found = gather(village, replace(WANTED, shared=True, quality_place=village))
    assert found.shared and found.subscribers == () and found.worst == () and found.best == () and found.quality


def test_rare_sites_are_merged_for_all_but_not_for_one(village: Path) -> None:
    found = gather(village, replace(WANTED, domain_k=1_000))
    assert [group.key for group in found.summary.by_domain] == [("other",)]
    who = found.subscribers[0].key[0]
    one = gather(village, replace(WANTED, domain_k=1_000, scope=Scope(subscriber=who)))
    assert len(one.summary.by_domain) > 3 and one.summary.totals.responses < 1_500


def test_upstreams_rows_where_there_are_no_others(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "u.sqlite")
    ledger.record(Row(time_s=NOW_S, role="upstream", decision="skipped", origin_bytes=1_000, link_bytes=1_300))
    ledger.close()
    wanted = Wanted(NOW_S + 1, config=ReportConfig(link_kbit_s=8))
    found = gather(tmp_path / "u.sqlite", wanted)
    assert found.role == "upstream" and found.worth.time_s == pytest.approx(-0.3)


def test_old_sums_have_hours(tmp_path: Path) -> None:
    """Minutes are only drawn where every single row is still there."""
    from proxy.ledger import Keep
    from proxy.ledger.database import open_writer
    from proxy.ledger.rollup import maintain

    path = tmp_path / "old.sqlite"
    ledger = Ledger(path)
    for number in range(20):
        ledger.record(Row(time_s=NOW_S - 9 * DAY_S + number, role="downstream", decision="passed", origin_bytes=10))
    ledger.close()
    with open_writer(path).connect() as connection:
        while maintain(connection, Keep(), NOW_S):
            pass
    found = gather(path, Wanted(NOW_S))
    assert found.step_s == HOUR_S and sum(point.totals.responses for point in found.points) == 20
