from __future__ import annotations

import pytest

from proxy.freshness import Revalidations, lifetime_s
from proxy.headers import Headers

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
HOUR_LATER = "Tue, 14 Nov 2023 23:13:20 GMT"
TEN_DAYS_BEFORE = "Sat, 04 Nov 2023 22:13:20 GMT"


def of(**fields: str) -> Headers:
    return Headers.of((name.replace("_", "-"), value) for name, value in fields.items())


@pytest.mark.parametrize(
    ("headers", "fresh_s"),
    [
        (of(Cache_Control="max-age=600"), 600),
        (of(Cache_Control="max-age=600", Age="100"), 500),
        (of(Cache_Control="max-age=600", Age="700"), 0),
        (of(Cache_Control="max-age=x"), 0),
        (of(Cache_Control="max-age=600, no-cache"), 0),
        (of(Cache_Control="no-store, max-age=600"), 0),
        (of(Cache_Control="max-age=600", Vary="*"), 0),
        (of(Cache_Control="s-maxage=600"), 0),
        (of(Pragma="no-cache", Expires=HOUR_LATER), 0),
        (of(Date=DATE, Expires=HOUR_LATER), 3600),
        (of(Date=DATE, Expires="0"), 0),
        (of(Expires="never", Date="garbage"), 0),
        (of(Date=DATE, Last_Modified=TEN_DAYS_BEFORE), 86_400),
        (of(Cache_Control="max-age=99999999999"), 31_536_000),
        (of(), 0),
    ],
)
def test_lifetimes(headers: Headers, fresh_s: float) -> None:
    assert lifetime_s(headers, NOW) == pytest.approx(fresh_s)


def test_an_old_date_counts_as_age() -> None:
    assert lifetime_s(of(Date=DATE, Cache_Control="max-age=600"), NOW + 100) == pytest.approx(500)


TAG = 'W/"swb-x"'
ASK = of(If_None_Match=TAG, Cookie="a=1")


def remembering(**fields: str) -> Revalidations:
    table = Revalidations(max_entries=2)
    table.remember(b"key", TAG, of(Cache_Control="max-age=600", **fields), ASK, NOW)
    return table


def test_fresh_images_are_confirmed_until_their_time_is_over() -> None:
    table = remembering()
    assert table.still_fresh(b"key", ASK, NOW + 599) == TAG
    assert table.still_fresh(b"other", ASK, NOW) is None
    assert table.still_fresh(b"key", of(If_None_Match='"else"'), NOW) is None
    assert table.still_fresh(b"key", of(), NOW) is None
    assert table.still_fresh(b"key", of(If_None_Match='"else", "swb-x"'), NOW) == TAG
    assert table.still_fresh(b"key", ASK, NOW + 601) is None


@pytest.mark.parametrize("control", ["no-cache", "max-age=0", "no-store"])
def test_reloads_reach_the_origin(control: str) -> None:
    assert remembering().still_fresh(b"key", of(If_None_Match=TAG, Cache_Control=control), NOW) is None


def test_other_values_of_varying_fields_reach_the_origin() -> None:
    table = remembering(Vary="Cookie")
    assert table.still_fresh(b"key", ASK, NOW) == TAG
    assert table.still_fresh(b"key", of(If_None_Match=TAG, Cookie="a=2"), NOW) is None


def test_the_table_is_bounded_and_forgets_what_became_stale() -> None:
    table = remembering()
    for name in (b"1", b"2"):
        table.remember(name, TAG, of(Cache_Control="max-age=600"), ASK, NOW)
    assert table.still_fresh(b"key", ASK, NOW) is None, "the oldest went"
    table.remember(b"1", TAG, of(Cache_Control="no-store"), ASK, NOW)
    assert table.still_fresh(b"1", ASK, NOW) is None
