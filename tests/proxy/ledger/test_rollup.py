"""Rows become hours, hours become days, old things go; and the sums stay what they were, to the byte."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from proxy.ledger import Keep, Place
from proxy.ledger.bins import NAMES, QUALITY, bin_of, edges, percentile, value
from proxy.ledger.database import open_writer
from proxy.ledger.read import Scope, Summary, opened
from proxy.ledger.rollup import age_a_day, maintain
from proxy.ledger.sums import DAY_S, HOUR_S, roll_slice
from proxy.ledger.tables import domain, response, rollup, sample, subscriber
from tests.proxy.ledger.rows import filled, now_s, row

DICE = random.Random(1)


def many(count: int, days: float) -> list[object]:
    now = now_s()
    return [
        row(
            time_s=round(now - DICE.uniform(0, days * DAY_S), 3),
            role=DICE.choice(("downstream", "upstream")),
            decision=DICE.choice(("reconstructed", "skipped", "passed")),
            subscriber=f"{DICE.randrange(4):016x}",
            domain=DICE.choice(("a.org", "b.org", "")),
            origin_bytes=DICE.randrange(100_000),
            link_bytes=DICE.randrange(3_000),
            cache_hit=DICE.random() < 0.3,
            encode_ms=DICE.choice((None, DICE.expovariate(0.01))),
            quality=DICE.choice((None, DICE.random())),
        )
        for _ in range(count)
    ]


def summed(place: Place) -> Summary:
    with opened(place) as reader:
        return reader.summary(domain_k=1)


def groups(found: Summary) -> list[object]:
    return [found.totals, found.images, found.by_decision, found.by_mode, found.by_domain, found.subscribers]


def test_nothing_is_lost_on_the_way_from_rows_to_days(place: Place) -> None:
    filled(place, *many(600, 60), domains=True)
    before = summed(place)
    keep = Keep(rows_days=3.0, hours_days=20.0)
    with open_writer(place).connect() as connection:
        steps = 0
        while maintain(connection, keep, now_s() + 120):
            steps += 1
        per_span = select(rollup.c.span_s, func.sum(rollup.c.responses)).group_by(rollup.c.span_s)
        spans = {span_s: int(count) for span_s, count in connection.execute(per_span)}
        left = connection.execute(select(func.count()).select_from(response)).scalar_one()
    assert steps > 40 and set(spans) == {HOUR_S, DAY_S} and sum(spans.values()) == 600 and 0 < left < 60
    after = summed(place)
    assert groups(after) == groups(before) and (after.first_s, after.last_s) == (before.first_s, before.last_s)
    assert {s.name: s.responses for s in after.stages} == {s.name: s.responses for s in before.stages}
    for old, new in zip(before.stages, after.stages, strict=True):
        assert old.exact and not new.exact
        assert [new.p50_ms, new.p95_ms, new.p99_ms] == pytest.approx([old.p50_ms, old.p95_ms, old.p99_ms], rel=0.095)
    assert before.quality and after.quality
    assert after.quality.counts == before.quality.counts and after.quality.p50 == pytest.approx(
        before.quality.p50, abs=0.006
    )


def test_small_slices_give_the_same_sums(place: Place) -> None:
    filled(place, *many(100, 0.3))
    before = summed(place)
    with open_writer(place).connect() as connection:
        sizes = []
        while rolled := roll_slice(connection, 2**53, most_rows=7):
            sizes.append(rolled)
    assert sum(sizes) == 100 and max(sizes) <= 8
    assert groups(summed(place)) == groups(before)


def test_rows_that_come_late_are_added_to_hours_and_days_long_past(place: Place) -> None:
    at = now_s() - 40 * DAY_S
    for _ in range(3):
        filled(place, row(time_s=at))
        with open_writer(place).connect() as connection:
            while maintain(connection, Keep(), now_s() + 120):
                pass
    with open_writer(place).connect() as connection:
        [(span_s, responses)] = connection.execute(select(rollup.c.span_s, rollup.c.responses)).all()
    assert (span_s, responses) == (DAY_S, 3) and summed(place).totals.responses == 3


def test_rows_of_the_last_minute_wait(place: Place) -> None:
    filled(place, row())
    with open_writer(place).connect() as connection:
        assert maintain(connection, Keep(), now_s()) is False
        assert maintain(connection, Keep(), now_s() + 61) is True
        assert maintain(connection, Keep(), now_s() + 61) is False


def test_a_day_that_is_not_over_keeps_its_hours(place: Place) -> None:
    filled(place, row())
    with open_writer(place).connect() as connection:
        roll_slice(connection, 2**53)
        assert age_a_day(connection, int(now_s())) == 0
        assert age_a_day(connection, int(now_s()) + 2 * DAY_S) > 0


def test_what_nothing_refers_to_any_more_goes_too(place: Place) -> None:
    old = now_s() - 200 * DAY_S
    filled(place, row(time_s=old, subscriber="c" * 16, domain="gone.org"), row(domain="here.org"), domains=True)
    with open_writer(place).connect() as connection:
        roll_slice(connection, 2**53)
        while maintain(connection, Keep(all_days=100.0), now_s()):
            pass
        names = [set(connection.execute(select(table.c.name)).scalars()) for table in (subscriber, domain)]
        kept = connection.execute(select(func.count()).select_from(sample)).scalar_one()
    assert names == [{"a" * 16}, {"here.org"}] and kept == 2


def test_a_file_shrinks_when_rows_go(path: Path) -> None:
    filled(path, *(row(time_s=now_s() - number) for number in range(20_000)))
    before = path.stat().st_size
    with open_writer(path).connect() as connection:
        while maintain(connection, Keep(rows_days=0.01), now_s() + 7_200):
            pass
        free = connection.execute(text("PRAGMA freelist_count")).scalar_one()
    with opened(path) as reader:
        assert reader.summary(Scope()).totals.responses == 20_000
    assert free < 2_000 and path.stat().st_size < before


@pytest.mark.parametrize("name", NAMES)
def test_bins_hold_what_they_stand_for(name: str) -> None:
    marks = edges(name)
    assert list(marks) == sorted(set(marks))
    for number, edge in enumerate(marks):
        assert bin_of(name, edge) == number + 1 and bin_of(name, edge * 0.999) == number
        assert bin_of(name, value(name, number)) == number
    counts = {bin_of(name, value(name, number)): 1 for number in range(10)}
    assert percentile(name, counts, 50) == value(name, 4) and percentile(name, counts, 100) == value(name, 9)
    assert name != QUALITY or value(name, 100) <= 1.0
