from __future__ import annotations

from proxy.breaker import Breaker


def test_opens_after_failures_in_a_row_and_lets_one_trial_through() -> None:
    breaker = Breaker(failures=3, cool_s=10)
    for now_s in (0.0, 1.0):
        breaker.failed(now_s)
    assert breaker.allows(2)
    breaker.failed(2)
    assert not breaker.allows(3) and not breaker.allows(11.9)
    assert breaker.allows(12.1), "the trial"
    assert not breaker.allows(12.2), "one at a time"
    breaker.succeeded()
    assert breaker.allows(12.3) and breaker.allows(12.3)


def test_successes_in_between_count() -> None:
    breaker = Breaker(failures=2, cool_s=10)
    for now_s in range(20):
        breaker.failed(now_s)
        breaker.succeeded()
    assert breaker.allows(20)


def test_failed_trial_opens_again() -> None:
    breaker = Breaker(failures=1, cool_s=10)
    breaker.failed(0)
    assert breaker.allows(10)
    breaker.failed(10.5)
    assert not breaker.allows(20) and breaker.allows(20.5)
