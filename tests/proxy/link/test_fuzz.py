"""A short run of tests/fuzz/fuzz_link.py."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.fuzz_link import fuzz


def test_odd_input_is_refused_and_nothing_else(tmp_path: Path) -> None:
    told = fuzz(1_500, 7, tmp_path)
    assert sum(took + refused for took, refused in told.values()) == 1_500
    assert all(refused for _, refused in told.values())
    assert all(told[name][0] for name in ("session", "requests", "answers", "offers"))
