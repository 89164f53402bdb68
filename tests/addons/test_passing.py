from __future__ import annotations

from addons.passing import Tally, Tee


def test_everything_passes_and_is_counted() -> None:
    tally = Tally()
    assert [tally(chunk) for chunk in (b"ab", b"", b"c", b"")] == [b"ab", b"", b"c", b""]
    assert tally.size_bytes == 3


def test_a_copy_is_bounded_and_taken_once() -> None:
    tee = Tee(limit_bytes=4)
    assert b"".join(tee(chunk) for chunk in (b"abc", b"def", b"")) == b"abcdef"
    assert tee.take() == b"abcd" and tee.take() == b"" and tee.size_bytes == 6
