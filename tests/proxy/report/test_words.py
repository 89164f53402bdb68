"""Every code has words."""

from __future__ import annotations

from proxy.ledger.row import DECISIONS, STAGES
from proxy.policy import Reason
from proxy.report import words


def test_every_code_has_words() -> None:
    assert {reason.value for reason in Reason} <= words.REASONS.keys()
    assert set(DECISIONS) == words.DECISIONS.keys() and set(STAGES) == words.STAGES.keys()
    assert set(DECISIONS) >= words.SAVING


def test_unknown_codes_are_themselves() -> None:
    assert words.why("novel", "odd") == "novel: odd" and words.stage("odd_ms") == "odd"
    assert words.why("original", "deadline") == "original sent after all: not ready in time"
