from __future__ import annotations

import pytest

from addons.clients import Patience, Visitor

PATIENCE = Patience(head_s=10, idle_s=60, connections=5)


def visitor() -> Visitor:
    return Visitor(handler=None, address="192.0.2.1", idle_since_s=100)


def test_a_head_has_its_time_from_its_first_byte() -> None:
    made = visitor()
    made.heard(140)
    made.heard(149)
    assert made.why_over(PATIENCE, 149.9) == ""
    assert made.why_over(PATIENCE, 150) == "its request did not arrive in time"


def test_a_connection_idles_from_its_last_answer() -> None:
    made = visitor()
    assert made.why_over(PATIENCE, 159) == "" and made.why_over(PATIENCE, 160) == "it was idle"
    made.rest(200)
    assert made.why_over(PATIENCE, 259) == "" and made.why_over(PATIENCE, 260) == "it was idle"
    assert made.why_over(Patience(10, 0, 0), 10_000) == "", "0 leaves it to mitmproxy"
    assert made.why_over(Patience(100, 1, 0), 250) == "", "an idle connection has as long as a head"


@pytest.mark.parametrize("kept", ["a request under way", "a tunnel that is left alone"])
def test_what_is_in_use_stays(kept: str) -> None:
    made = visitor()
    made.heard(100)
    if kept == "a request under way":
        made.flows.add("1")
    else:
        made.exempt = True
    assert made.why_over(PATIENCE, 10_000) == ""


def test_bytes_of_a_body_begin_no_head() -> None:
    made = visitor()
    made.flows.add("1")
    made.heard(120)
    made.flows.clear()
    made.rest(125)
    assert made.head_since_s is None and made.why_over(PATIENCE, 180) == ""
