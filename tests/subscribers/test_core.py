"""Schedules, networks, quotas, congestion, and the order in which terms are decided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import TIERS
from proxy.subscribers.account import Consent, Quota, Subscriber, SubscriberError, check_name, networks_of
from proxy.subscribers.congestion import WINDOW_S, Congestion
from proxy.subscribers.decide import Refuse, Rules, Serve, decide
from proxy.subscribers.networks import NetworkMap
from proxy.subscribers.quota import Used, used, used_up
from proxy.subscribers.schedule import ScheduleError, parse_schedule

SUNDAY = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ALICE = Subscriber("alice", "balanced")
PLAIN, NOTHING = Rules(), Used()


def at(day: int, clock: str) -> datetime:
    """A time of the week that begins on Monday, 23 November."""
    hour, minute = clock.split(":")
    return datetime(2026, 11, 23 + day, int(hour), int(minute), tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("mon-fri 18:00-23:00", [(0, "18:00"), (4, "22:59")], [(0, "17:59"), (0, "23:00"), (5, "20:00")]),
        ("fri-mon 00:00-24:00", [(4, "00:00"), (6, "23:59"), (0, "12:00")], [(1, "00:00"), (3, "23:59")]),
        ("sun 22:00-02:00", [(6, "22:00"), (0, "01:59")], [(0, "22:00"), (6, "01:00"), (0, "02:00")]),
        ("daily 08:00-08:00", [(2, "07:59"), (2, "08:00")], []),
        ("sat 10:00-11:00,  tue 10:00-11:00", [(5, "10:30"), (1, "10:30")], [(2, "10:30")]),
    ],
)
def test_windows(text: str, inside: list[tuple[int, str]], outside: list[tuple[int, str]]) -> None:
    schedule = parse_schedule(text)
    assert parse_schedule(schedule.text) == schedule
    assert [schedule.is_open(at(*when), False) for when in inside] == [True] * len(inside)
    assert [schedule.is_open(at(*when), False) for when in outside] == [False] * len(outside)


def test_only_when_congested() -> None:
    assert parse_schedule("always").is_open(SUNDAY, False)
    assert [parse_schedule("Congested").is_open(SUNDAY, now) for now in (True, False)] == [True, False]
    both = parse_schedule("congested, sun 11:00-13:00")
    assert (
        both.is_open(SUNDAY, False) and both.is_open(at(0, "20:00"), True) and not both.is_open(at(0, "20:00"), False)
    )


@pytest.mark.parametrize(
    "text",
    ["", "never", "always, congested", "mon 8:00-9:00", "mon 25:00-26:00", "mon 10:60-11:00", "mon-tag 10:00-11:00"],
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError):
        parse_schedule(text)


@given(st.text(alphabet="monfridaily ,:-0129congested\n\x00é", max_size=40))
def test_any_text_is_a_schedule_or_refused(text: str) -> None:
    try:
        schedule = parse_schedule(text)
    except ScheduleError:
        return
    assert parse_schedule(schedule.text) == schedule


def test_the_smallest_network_wins() -> None:
    people = [
        Subscriber("house", "off", networks_of(["192.0.2.0/24", "2001:db8::/48"])),
        Subscriber("flat", "off", networks_of(["192.0.2.64/26"])),
        Subscriber("guest", "off", networks_of(["192.0.2.65"])),
    ]
    found = NetworkMap(people)
    asked = ("192.0.2.1", "192.0.2.70", "192.0.2.65", "::ffff:192.0.2.65", "2001:db8::5%eth0", "198.51.100.1", "x", "")
    assert [found.name(each) for each in asked] == ["house", "flat", "guest", "guest", "house", None, None, None]
    with pytest.raises(SubscriberError, match="is house's"):
        NetworkMap([*people, Subscriber("thief", "off", networks_of(["192.0.2.0/24"]))])


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 32)), max_size=12), st.integers(0, 2**32 - 1))
def test_networks_are_found_as_by_trying_each(pairs: list[tuple[int, int]], address: int) -> None:
    networks = {ip_network((first, length), strict=False) for first, length in pairs}
    people = [Subscriber(f"s{n}", "off", (network,)) for n, network in enumerate(networks)]
    around = [p for p in people if ip_address(address) in p.networks[0]]
    expected = max(around, key=lambda p: p.networks[0].prefixlen).name if around else None
    assert NetworkMap(people).name(str(ip_address(address))) == expected


def test_days_and_months_end() -> None:
    by_day = {"2026-11-22": 60, "2026-11-01": 40, "2026-10-31": 1000}
    assert used(by_day, SUNDAY) == Used(60, 100)
    assert used(by_day, SUNDAY + timedelta(days=1)) == Used(0, 100)
    assert used_up(Quota(61, 101), Used(60, 100), SUNDAY) is None
    day, month = used_up(Quota(60, 0), Used(60, 100), SUNDAY), used_up(Quota(60, 100), Used(60, 100), SUNDAY)
    assert day is not None and (day.period, day.again) == ("day", datetime(2026, 11, 23, tzinfo=UTC))
    assert month is not None and (month.period, month.again) == ("month", datetime(2026, 12, 1, tzinfo=UTC))
    december = used_up(Quota(0, 1), Used(1, 1), datetime(2026, 12, 31, 23, tzinfo=UTC))
    assert december is not None and december.again == datetime(2027, 1, 1, tzinfo=UTC)


def test_the_link_is_congested_from_what_crossed_it() -> None:
    link = Congestion(1000.0, enter=0.8)
    for second in range(WINDOW_S):
        link.crossed(790, 1.0, float(second))
    assert link.use(29.0) == pytest.approx(0.79) and not link.is_congested(29.0)
    link.crossed(1000, 1.0, 29.5)
    assert link.is_congested(29.5), "81 % and more"
    link.crossed(0, 0.0, 31.0)
    assert link.is_congested(33.0) and link.use(33.0) < 0.8, "it does not flicker"
    assert not link.is_congested(40.0) and link.use(90.0) == 0.0
    unknown = Congestion(0.0)
    unknown.crossed(10**9, 1.0, 0.0)
    assert not unknown.is_congested(0.0)


def test_a_long_download_counts_for_the_window_only() -> None:
    link = Congestion(1000.0)
    link.crossed(600_000, 600.0, 700.0)  # 1,000 bytes a second for ten minutes
    assert link.use(700.0) == pytest.approx(1.0)


def terms(subscriber: Subscriber | None, rules: Rules = PLAIN, spent: Used = NOTHING, congested: bool = False) -> str:
    verdict = decide(subscriber, spent, SUNDAY, congested, rules)
    return f"{verdict.tier}: {verdict.why}" if isinstance(verdict, Serve) else str(verdict.status)


def test_the_order_of_terms() -> None:
    asks, refuses = Rules(consent_version="2"), Rules(when_used_up="refuse")
    agreed, before = Consent("2", 0.0), Consent("1", 0.0)
    limited = Subscriber("dave", "faithful", quota=Quota(day_bytes=10))
    assert [terms(Subscriber("x", tier)) for tier in TIERS] == [f"{tier}: chosen" for tier in TIERS]
    assert terms(None) == "403" and terms(None, Rules(unknown="off")) == "off: unknown"
    assert terms(ALICE, asks) == "off: no consent"
    assert terms(Subscriber("alice", "balanced", consent=before), asks) == "off: no consent", "to another version"
    assert terms(Subscriber("alice", "balanced", consent=agreed), asks) == "balanced: chosen"
    assert terms(limited, spent=Used(9, 9)) == "faithful: chosen"
    assert terms(limited, spent=Used(10, 10)) == "economy: day used up"
    assert terms(limited, asks, Used(10, 10)) == "off: no consent", "a quota moves nobody to drawn pictures"
    assert terms(Subscriber("d", "off", quota=Quota(1)), spent=Used(1, 1)) == "off: chosen"
    assert terms(limited, refuses, Used(10, 10)) == "429"
    assert terms(Subscriber("d", "off", quota=Quota(1)), refuses, Used(1, 1)) == "429"
    evening = Subscriber("eve", "economy", schedule=parse_schedule("mon 18:00-23:00, congested"))
    assert terms(evening) == "off: outside the schedule" and terms(evening, congested=True) == "economy: chosen"
    assert terms(evening, Rules(outside="faithful")) == "faithful: outside the schedule"


def test_tls_is_opened_for_a_page_only_where_it_may_be() -> None:
    def opens(subscriber: Subscriber, rules: Rules) -> bool:
        verdict = decide(subscriber, Used(9, 9), SUNDAY, False, rules)
        assert isinstance(verdict, Refuse) and verdict.again == datetime(2026, 11, 23, tzinfo=UTC)
        return verdict.opens

    rules, small = Rules(consent_version="2", when_used_up="refuse"), Quota(day_bytes=1)
    assert opens(Subscriber("a", "economy", quota=small, consent=Consent("2", 0.0)), rules)
    assert not opens(Subscriber("a", "economy", quota=small), rules)
    assert not opens(Subscriber("a", "off", quota=small, consent=Consent("2", 0.0)), rules)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "-a", "192.0.2.1", "2001:db8::1", "ä", "a\n", "x" * 65, "*)(uid=*"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(SubscriberError):
        check_name(name)
    with pytest.raises(SubscriberError):
        Subscriber(name, "off")


def test_accounts_that_are_none() -> None:
    for wrong in ("300.0.0.0/8", "192.0.2.1/24", "example.org", ""):
        with pytest.raises(SubscriberError, match="is no network"):
            networks_of([wrong])
    with pytest.raises(SubscriberError, match="a tier is one of"):
        Subscriber("alice", "best")
    with pytest.raises(SubscriberError, match="quota"):
        Quota(-1)
