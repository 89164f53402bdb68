"""Any period, read from any mixture of rows, hours and days, has the sums of its rows: of all, by person, by domain."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from proxy.ledger import Keep, Place, Row
from proxy.ledger.database import open_writer
from proxy.ledger.read import Scope, opened
from proxy.ledger.rollup import maintain
from proxy.ledger.sums import DAY_S, HOUR_S, roll_slice
from tests.proxy.ledger.rows import filled, now_s, row

DICE = random.Random(5)


def rows_of(now: float, days: float) -> list[Row]:
    found = []
    for _ in range(500):
        decision = DICE.choice(("reconstructed", "passed", "overhead"))
        found.append(
            row(
                time_s=round(now - DICE.uniform(0, days * DAY_S), 3),
                role=DICE.choice(("downstream", "upstream")),
                decision=decision,
                image=decision == "reconstructed",
                subscriber=DICE.choice(("a" * 16, "b" * 16, "c" * 16, "")),
                domain=DICE.choice(("a.org", "b.org", "")),
                origin_bytes=DICE.randrange(100_000),
                refetches=DICE.randrange(2),
            )
        )
    return found


def expected(rows: list[Row], scope: Scope) -> dict[str, Counter[tuple[str, str]]]:
    found: dict[str, Counter[tuple[str, str]]] = {"subscriber": Counter(), "domain": Counter(), "all": Counter()}
    for each in rows:
        if each.time_s < scope.since_s or (scope.until_s is not None and each.time_s >= scope.until_s):
            continue
        if scope.role not in (None, each.role) or scope.subscriber not in (None, each.subscriber):
            continue
        for part, key in (("subscriber", each.subscriber), ("domain", each.domain), ("all", "")):
            counted = found[part]
            counted[key, "responses"] += each.decision != "overhead"
            counted[key, "images"] += each.image
            counted[key, "origin_bytes"] += each.origin_bytes
            counted[key, "refetches"] += each.refetches
    return {part: +counted for part, counted in found.items()}


def read(place: Place, scope: Scope) -> dict[str, Counter[tuple[str, str]]]:
    names = ("responses", "images", "origin_bytes", "refetches")
    with opened(place) as reader:
        found = reader.summary(scope, domain_k=1)
        parts = {"subscriber": reader.by_subscriber(scope), "domain": found.by_domain}
        points = reader.series(HOUR_S, scope)
        assert found.subscribers == sum(bool(group.key[0]) for group in parts["subscriber"])
    made = {
        part: Counter({(group.key[0], name): getattr(group.totals, name) for group in groups for name in names})
        for part, groups in parts.items()
    }
    made["all"] = Counter({("", name): getattr(found.totals, name) for name in names})
    assert sum(point.totals.origin_bytes for point in points) == found.totals.origin_bytes
    return {part: +counted for part, counted in made.items()}


def test_every_period_has_the_sums_of_its_rows(place: Place) -> None:
    now = now_s()
    rows = rows_of(now, 5.0)
    filled(place, *rows[:400], domains=True)
    with open_writer(place).connect() as connection:  # everything is rolled, and every row is still there
        while roll_slice(connection, 2**53):
            pass
    filled(place, *rows[400:], domains=True)  # and these are not
    midnight = now // DAY_S * DAY_S - 2 * DAY_S
    edges = [0.0, midnight, midnight + HOUR_S, midnight + 0.5, now - DICE.uniform(0, 5 * DAY_S), now - 0.4 * DAY_S]
    scopes = [Scope(since) for since in edges]
    scopes += [Scope(since, max(since, until)) for since in edges[1:4] for until in edges[4:]]
    scopes += [Scope(midnight, midnight + DAY_S), Scope(midnight + 60, midnight + 1_000), Scope(0.0, midnight)]
    narrowings = ({}, {"role": "upstream"}, {"subscriber": "b" * 16})
    for number, scope in enumerate(scopes):
        narrowed = replace(scope, **narrowings[number % 3])
        assert read(place, narrowed) == expected(rows, narrowed), narrowed


def test_periods_that_touch_never_overlap_when_hours_became_days(place: Place) -> None:
    now = now_s()
    rows = rows_of(now, 30.0)
    filled(place, *rows, domains=True)
    with open_writer(place).connect() as connection:
        while maintain(connection, Keep(rows_days=2.0, hours_days=10.0), now + 120):
            pass
    whole = read(place, Scope())
    assert whole == expected(rows, Scope())
    for cut in (now - 25.3 * DAY_S, now - 9.9 * DAY_S, now - 5.51 * DAY_S, now - 1.2 * DAY_S, now - 60):
        before, after = read(place, Scope(0.0, cut)), read(place, Scope(cut))
        assert {part: before[part] + after[part] for part in whole} == whole, cut


def test_what_is_kept_no_longer_goes_from_every_sum(place: Place) -> None:
    now = now_s()
    rows = rows_of(now, 30.0)
    filled(place, *rows, domains=True)
    with open_writer(place).connect() as connection:
        while roll_slice(connection, 2**53):
            pass
        while maintain(connection, Keep(rows_days=1.0, hours_days=5.0, all_days=12.0), now):
            pass
    left = Scope((now - 12 * DAY_S) // DAY_S * DAY_S)
    assert read(place, Scope()) == expected(rows, left)
