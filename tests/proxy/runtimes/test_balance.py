"""Who is asked next, and when a second one is, without sockets or clocks."""

from __future__ import annotations

import pytest

from proxy.runtimes.balance import FAILURES, FEWEST, REST_S, SHORTEST_HEDGE_S, Balance, Standing, quantile


def balance(*labels: str | None) -> Balance:
    made = Balance(len(labels))
    for standing, label in zip(made.standings, labels, strict=True):
        standing.label = label
    return made


def places(order: list[Standing]) -> list[int]:
    return [standing.place for standing in order]


def test_the_least_busy_is_first_and_equals_take_turns() -> None:
    b = balance("a@1", "a@1", "a@1")
    b.began(b.standings[0], 1.0)
    assert places(b.order(2.0)) == [1, 2, 0]
    b.began(b.standings[1], 2.0)
    b.answered(b.standings[1], 0.1)
    assert places(b.order(3.0)) == [2, 1, 0]


def test_the_announced_engine_is_that_of_most_and_goes_first() -> None:
    b = balance("old@1", "new@2", "new@2", None)
    assert b.announced() == "new@2"
    assert places(b.order(0.0)) == [1, 2, 0, 3]
    assert balance("old@1", "new@2").announced() == "old@1"
    assert balance(None, "new@2").announced() == "new@2"
    assert balance(None, None).announced() is None


def test_the_busy_come_last_until_they_have_rested() -> None:
    b = balance("a@1", "a@1")
    b.began(b.standings[0], 0.0)
    b.busy(b.standings[0], 1.0)
    assert places(b.order(0.5)) == [1, 0]
    b.began(b.standings[1], 0.6)
    assert places(b.order(1.5)) == [0, 1]


def test_the_broken_are_left_alone_for_a_while() -> None:
    b = balance("a@1", "a@1")
    for _ in range(FAILURES):
        b.began(b.standings[0], 0.0)
        b.failed(b.standings[0], 1.0)
    assert places(b.order(1.0 + REST_S / 2)) == [1]
    assert sorted(places(b.order(1.0 + REST_S))) == [0, 1]
    assert b.standings[0].in_hand == 0


def answered(b: Balance, times: list[float]) -> None:
    for took_s in times:
        b.first_asked()
        b.began(b.standings[0], 0.0)
        b.answered(b.standings[0], took_s)


def test_hedging_waits_for_the_95th_percentile_of_enough_answers() -> None:
    b = balance("a@1", "a@1")
    answered(b, [0.1] * (FEWEST - 1))
    assert b.hedge_after_s() is None
    answered(b, [0.1] * 80 + [0.4] * 4)
    assert b.hedge_after_s() == 0.1
    answered(b, [0.4] * 10)
    assert b.hedge_after_s() == 0.4
    quick = balance("a@1", "a@1")
    answered(quick, [0.001] * 40)
    assert quick.hedge_after_s() == SHORTEST_HEDGE_S


def test_hedges_are_few_and_never_go_to_the_busier_or_to_another_engine() -> None:
    b = balance("a@1", "a@1", "b@2")
    answered(b, [0.1] * 25)
    first, other, _ = b.standings
    b.began(first, 0.0)
    for _ in range(2):
        b.began(other, 0.0)
    assert b.hedge(first, [first], 1.0) is None
    b.dropped(other)
    b.dropped(other)
    assert b.hedge(first, [first], 1.0) is other
    assert b.hedge_after_s() is None  # 25 requests earn one second question
    assert b.hedge(first, [first, other], 1.0) is None


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.95, 4.0), (1.0, 4.0)])
def test_quantile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert quantile([3.0, 1.0, 4.0, 2.0], share) == expected
