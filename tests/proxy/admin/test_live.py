"""What a proxy does at the moment."""

from __future__ import annotations

from proxy.admin.live import RECENT, Live
from proxy.admin.telling import BARS, changed, told
from proxy.ledger.answers import Totals
from tests.proxy.ledger.rows import row


def live() -> Live:
    """An hour and a half: an answer of 50 kB every ten seconds."""
    made = Live(1_000.0)
    for number in range(540):
        made.observe(row(), 1_000.0 + number * 10)
    return made


def test_windows() -> None:
    now = live().now(1_000.0 + 539 * 10 + 5)
    assert (now.since_start.responses, now.hour.responses, now.minute.responses) == (540, 360, 6)
    assert now.hour.link_bytes == 360 * 1_500 and now.minute.origin_bytes == 6 * 50_000
    assert len(now.recent) == RECENT and now.recent[0].at_s > now.recent[-1].at_s
    later = live().now(1_000.0 + 539 * 10 + 3_700)
    assert later.hour.responses == 0 and later.steps == () and later.since_start.responses == 540


def test_failures_and_waits() -> None:
    made = Live(0.0)
    made.observe(row(decision="original", reason="deadline", refetch_bytes=9_000, queue_ms=4.0), 10.0)
    made.observe(row(decision="error", reason="unreachable", queue_ms=8.0), 5_000.0)
    made.observe(row(decision="skipped", reason="svg", reconstruct_ms=100.0), 5_000.0)
    made.observe(row(decision="overhead", origin_bytes=0, link_bytes=77), 5_000.0)
    now = made.now(5_001.0)
    assert dict(now.failures) == {"deadline": 1, "unreachable": 1} and now.failures_hour == 1
    assert now.since_start.responses == 3 and now.since_start.link_bytes == 3 * 1_500 + 77
    assert (now.queue_ms, now.draw_ms) == (6.0, 100.0) and "overhead" not in dict(now.decisions)


def test_what_is_told() -> None:
    made = live()
    found = told(made.now(6_395.0), Totals(origin_bytes=1_000, link_bytes=250), [("engine", "sketch")])
    assert found["saved"] == "97.0 %" and found["day"] == "75.0 %" and found["minute"] == "6"
    assert ["engine", "sketch"] in found["parts"] and found["failed"] == [["none", "0"]]
    assert str(found["before"]).count("M") in (BARS - 1, BARS) == (29, 30)
    assert str(found["before"]).count("v-40h8") >= BARS - 1 and str(found["after"]).count("v-1.2h4") >= BARS - 1
    made.observe(row(), 6_395.0)
    new = changed(found, told(made.now(6_395.0), Totals(origin_bytes=1_000, link_bytes=250), [("engine", "sketch")]))
    assert {"minute", "decided"} <= new.keys() and not {"day", "parts", "failed", "saved", "up"} & new.keys()


def test_nothing_yet() -> None:
    found = told(Live(0.0).now(1.0), None, [])
    assert found["saved"] == "–" and found["day"] == "–" and found["before"] == "" and found["up"] == "< 1 min"
