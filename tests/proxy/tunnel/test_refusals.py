from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.tunnel.refusals import Refusals, Terms, in_force

KEY = b"k" * 32
NOW = 1_800_000_000.0
DAY = 86_400.0


def pinned(now_s: float = NOW) -> Refusals:
    """A client that trusts us elsewhere refused one host twice."""
    refusals = Refusals(KEY)
    refusals.accepted("client", "other.test")
    assert not refusals.refused("client", "app.test", now_s)
    assert refusals.refused("client", "app.test", now_s + 1)
    return refusals


def test_a_pinning_client_is_left_alone_for_a_day_at_that_host_only() -> None:
    refusals = pinned()
    assert refusals.left_alone("client", "App.test.", NOW + 2)
    assert not refusals.left_alone("client", "other.test", NOW + 2)
    assert not refusals.left_alone("somebody", "app.test", NOW + 2)
    assert refusals.left_alone("client", "app.test", NOW + DAY) and not refusals.left_alone(
        "client", "app.test", NOW + DAY + 2
    )


def test_a_client_without_our_authority_is_left_alone_for_minutes_and_forgiven_at_once() -> None:
    refusals = Refusals(KEY)
    for host in ("a.test", "b.test"):
        refusals.refused("client", host, NOW)
        refusals.refused("client", host, NOW)
    assert refusals.left_alone("client", "a.test", NOW + 599) and not refusals.left_alone("client", "a.test", NOW + 601)
    assert refusals.left_alone("client", "b.test", NOW + 1)
    assert refusals.accepted("client", "c.test") and not refusals.left_alone("client", "b.test", NOW + 1)
    assert not refusals.accepted("client", "c.test")


def test_refusals_must_come_together_and_acceptance_starts_again() -> None:
    refusals = Refusals(KEY)
    assert not refusals.refused("client", "a.test", NOW)
    assert not refusals.refused("client", "a.test", NOW + 601)
    refusals.accepted("client", "a.test")
    assert not refusals.refused("client", "a.test", NOW + 602)
    assert refusals.refused("client", "a.test", NOW + 603)


def test_what_is_kept_names_nobody_and_comes_back() -> None:
    saved = json.loads(json.dumps(pinned().saved(NOW + 2)))
    assert "app" not in json.dumps(saved["pinned"]) and "client" not in json.dumps(saved["pinned"])
    again = Refusals(KEY)
    again.load(saved, NOW + 3)
    assert again.left_alone("client", "app.test", NOW + 3)
    assert in_force(saved, NOW + 3) == [NOW + 1 + DAY] and in_force(saved, NOW + 2 * DAY) == []
    other = Refusals(b"x" * 32)
    other.load(saved, NOW + 3)
    assert not other.left_alone("client", "app.test", NOW + 3), "only the key tells whose they are"


def test_a_clock_that_jumps_ends_entries_but_never_makes_them_last() -> None:
    refusals = pinned()
    assert not refusals.left_alone("client", "app.test", NOW - 10 * DAY), "back: it would have lasted eleven days"
    saved = pinned().saved(NOW + 2)
    early = Refusals(KEY)
    early.load(saved, NOW - 30 * DAY)
    assert early.left_alone("client", "app.test", NOW - 30 * DAY)
    assert not early.left_alone("client", "app.test", NOW - 28 * DAY)


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"version": 2, "pinned": {"00" * 12: [NOW, "x"]}},
        {"version": 1, "pinned": []},
        {
            "version": 1,
            "pinned": {"00" * 12: [True, "x"], "11" * 12: ["x", "y"], "22" * 12: [NOW * 2], "short": [NOW * 2, "x"]},
        },
    ],
)
def test_nonsense_is_left_out(saved: dict[str, Any]) -> None:
    assert in_force(saved, NOW) == []


def test_memory_is_bounded() -> None:
    refusals = Refusals(KEY, Terms(refusals=1, max_entries=10))
    for number in range(50):
        refusals.accepted(f"client {number}", "x.test")
        refusals.refused(f"client {number}", "app.test", NOW)
    assert len(refusals.saved(NOW)["pinned"]) == 10
    assert refusals.left_alone("client 49", "app.test", NOW) and not refusals.left_alone("client 0", "app.test", NOW)
