from __future__ import annotations

import pytest

from client_runtime.bench.measure import measure, percentile, process_peak_bytes, reset_process_peak


class Clock:
    """Moves only when told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_only_drawing_is_timed() -> None:
    clock, drawn = Clock(), []

    def prepare(number: int) -> int:
        clock.now_s += 1000
        return number

    def draw(number: int) -> None:
        drawn.append(number)
        clock.now_s += 5.0 if number == 0 else 0.1 * number

    timing = measure("edges", 4, 3, prepare, draw, clock, lambda: 77, warm=2, worked=lambda: 2 * clock.now_s)
    assert drawn == [0, 1, 2, 3, 4, 5]
    assert timing.first_ms == pytest.approx(5000)
    assert (timing.p50_ms, timing.p95_ms) == (pytest.approx(400), pytest.approx(500))
    assert timing.cpu_ms == pytest.approx(800)
    assert timing.images_per_s == pytest.approx(4 * 3 / 1.2)
    assert (timing.mode, timing.batch, timing.calls, timing.peak_bytes) == ("edges", 4, 3, 77)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 10), (0.95, 19), (1.0, 20), (0.05, 1), (0.0, 1)])
def test_percentiles_are_values_that_were_seen(share: float, expected: int) -> None:
    assert percentile([float(n) for n in range(20, 0, -1)], share) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError):
        percentile([], 0.5)


def test_the_peak_follows_what_is_allocated() -> None:
    if process_peak_bytes() is None:
        pytest.skip("no /proc")
    reset_process_peak()
    before = process_peak_bytes()
    held = bytearray(b"\1") * (64 << 20)
    after = process_peak_bytes()
    assert before is not None and after is not None and len(held) == 64 << 20
    assert after >= before + (32 << 20) or after >= 96 << 20  # where the peak cannot be reset, it only grows
