from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cache.control import read_control
from proxy.cache.entry import Stored
from proxy.cache.lifetime import HEURISTIC_MAX_S, Fresh, Stale, age_s, freshness_s, judge
from proxy.headers import Headers

NOW_S = 1_800_000_000.0
seconds = st.integers(0, 10**7)


def stored(came_s: float = NOW_S, age: int = 0, query: bool = False, delay_s: float = 0, **fields: str) -> Stored:
    given_fields = {"Content-Type": "image/png"} | {name.replace("_", "-"): value for name, value in fields.items()}
    return Stored(200, Headers.of(given_fields.items()), (), came_s - delay_s, came_s, age, query)


def asked(value: str = "") -> object:
    return read_control(Headers((("Cache-Control", value),)) if value else Headers())


def verdict(entry: Stored, now_s: float, request: str = "", shared: bool = True, unreachable_s: float = 0.0) -> object:
    return judge(
        entry, read_control(Headers((("Cache-Control", request),) if request else ())), now_s, shared, unreachable_s
    )


def date(unix_s: float) -> str:
    return formatdate(unix_s, usegmt=True)


@pytest.mark.parametrize(
    ("fields", "own_s", "shared_s"),
    [
        ({"Cache_Control": "max-age=60"}, 60, 60),
        ({"Cache_Control": "max-age=60, s-maxage=5"}, 60, 5),
        ({"Cache_Control": "max-age=60, max-age=10"}, 10, 10),
        ({"Cache_Control": 'max-age="60"'}, 60, 60),
        ({"Cache_Control": "MAX-AGE=60"}, 60, 60),
        ({"Cache_Control": "max-age=soon"}, 0, 0),
        ({"Cache_Control": "max-age=-5"}, 0, 0),
        ({"Cache_Control": "max-age"}, 0, 0),
        ({"Cache_Control": "max-age=99999999999999999999"}, 2**31, 2**31),
        ({"Date": date(NOW_S), "Expires": date(NOW_S + 90)}, 90, 90),
        ({"Date": date(NOW_S), "Expires": date(NOW_S + 90), "Cache_Control": "max-age=5"}, 5, 5),
        ({"Date": date(NOW_S), "Expires": "0"}, 0, 0),
        ({"Date": date(NOW_S), "Expires": date(NOW_S - 90)}, 0, 0),
        ({"Date": date(NOW_S), "Last_Modified": date(NOW_S - 1000)}, 100, 100),
        ({"Date": date(NOW_S), "Last_Modified": date(NOW_S - 10**8)}, HEURISTIC_MAX_S, HEURISTIC_MAX_S),
        ({"Date": date(NOW_S), "Last_Modified": date(NOW_S + 1000)}, 0, 0),
        ({"Date": date(NOW_S), "Last_Modified": date(NOW_S - 1000), "Content_Type": "text/html"}, 0, 0),
        ({"Date": date(NOW_S), "Last_Modified": date(NOW_S - 1000), "Pragma": "no-cache"}, 0, 0),
        ({}, 0, 0),
    ],
)
def test_freshness_lifetime(fields: dict[str, str], own_s: float, shared_s: float) -> None:
    assert freshness_s(stored(**fields), False) == own_s  # type: ignore[arg-type]
    assert freshness_s(stored(**fields), True) == shared_s  # type: ignore[arg-type]


def test_no_heuristic_for_an_address_with_a_query() -> None:
    fields = {"Date": date(NOW_S), "Last_Modified": date(NOW_S - 1000)}
    assert freshness_s(stored(query=True, **fields), True) == 0  # type: ignore[arg-type]


@given(age=seconds, delay_s=st.integers(0, 1000), date_lag_s=st.integers(-1000, 10**6), resident_s=seconds)
@settings(max_examples=200, deadline=None)
def test_age_arithmetic_is_that_of_4_2_3(age: int, delay_s: int, date_lag_s: int, resident_s: int) -> None:
    entry = stored(age=age, delay_s=delay_s, Date=date(NOW_S - date_lag_s))
    found = age_s(entry, NOW_S + resident_s)
    assert found == max(max(0, date_lag_s), age + delay_s) + resident_s


@given(lifetime_s=seconds, age=seconds, resident_s=seconds, request_s=seconds, shared=st.booleans())
@settings(max_examples=200, deadline=None)
def test_fresh_means_younger_than_every_limit(
    lifetime_s: int, age: int, resident_s: int, request_s: int, shared: bool
) -> None:
    entry = stored(age=age, Cache_Control=f"max-age={lifetime_s}")
    total_s = age + resident_s
    assert isinstance(verdict(entry, NOW_S + resident_s, shared=shared), Fresh) == (total_s < lifetime_s)
    limited = verdict(entry, NOW_S + resident_s, f"max-age={request_s}", shared)
    assert isinstance(limited, Fresh) == (total_s < lifetime_s and total_s < request_s)
    reserved = verdict(entry, NOW_S + resident_s, f"min-fresh={request_s}", shared)
    assert isinstance(reserved, Fresh) == (total_s < lifetime_s and lifetime_s - total_s >= request_s)


@given(first_s=seconds, later_s=seconds, lifetime_s=seconds)
@settings(max_examples=100, deadline=None)
def test_what_is_stale_never_becomes_fresh_again(first_s: int, later_s: int, lifetime_s: int) -> None:
    entry = stored(Cache_Control=f"max-age={lifetime_s}")
    if isinstance(verdict(entry, NOW_S + first_s), Stale):
        assert isinstance(verdict(entry, NOW_S + first_s + later_s), Stale)


@given(back_s=st.floats(0.001, 1e9), shared=st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_clock_that_was_set_back_means_validation(back_s: float, shared: bool) -> None:
    entry = stored(Cache_Control="max-age=600, stale-if-error=600, stale-while-revalidate=600")
    assert verdict(entry, NOW_S - back_s, shared=shared, unreachable_s=1e9) == Stale(None)


def test_stale_while_revalidate_and_if_error_end_with_their_windows() -> None:
    entry = stored(Cache_Control="max-age=10, stale-while-revalidate=20, stale-if-error=40")
    assert verdict(entry, NOW_S + 15) == Stale(15, while_revalidate=True, if_error=True, if_unreachable=True)
    assert verdict(entry, NOW_S + 35) == Stale(35, while_revalidate=False, if_error=True, if_unreachable=True)
    assert verdict(entry, NOW_S + 60) == Stale(60)
    assert verdict(entry, NOW_S + 60, unreachable_s=100) == Stale(60, if_unreachable=True)
    assert verdict(entry, NOW_S + 15, "max-age=0") == Stale(15, if_error=True, if_unreachable=True)


@pytest.mark.parametrize(
    ("directive", "own"), [("must-revalidate", 0), ("no-cache", 0), ("proxy-revalidate", 1), ("s-maxage=10", 1)]
)
def test_what_forbids_stale_answers(directive: str, own: bool) -> None:
    entry = stored(Cache_Control=f"max-age=10, stale-if-error=99, stale-while-revalidate=99, {directive}")
    assert verdict(entry, NOW_S + 20, unreachable_s=99) == Stale(20)
    assert bool(getattr(verdict(entry, NOW_S + 20, shared=False), "if_error")) == bool(own)  # noqa: B009
    assert isinstance(verdict(entry, NOW_S + 20, "max-stale", shared=False), Fresh) == bool(own)


def test_no_cache_is_never_fresh_and_max_stale_is_what_the_request_allows() -> None:
    assert isinstance(verdict(stored(Cache_Control="max-age=60, no-cache"), NOW_S), Stale)
    assert isinstance(verdict(stored(Cache_Control='max-age=60, no-cache="set-cookie"'), NOW_S), Stale)
    entry = stored(Cache_Control="max-age=10")
    assert isinstance(verdict(entry, NOW_S + 15, "max-stale=10"), Fresh)
    assert isinstance(verdict(entry, NOW_S + 25, "max-stale=10"), Stale)
    assert isinstance(verdict(entry, NOW_S + 25, "max-stale"), Fresh)
    assert isinstance(verdict(entry, NOW_S, "no-cache"), Stale)
    assert isinstance(verdict(entry, NOW_S, "max-age=0"), Stale)
