"""The lossy link of the measurements: nothing is lost or out of order in the end, and rates are those of TCP."""

from __future__ import annotations

import random

import pytest

from evaluation.linkbench.lossy import FIRST_WINDOW, PACKET_BYTES, LossyWay
from evaluation.linkbench.shaper import Direction

DELAY_S = 0.04


def carried(way: LossyWay, data: bytes) -> tuple[bytes, float]:
    """All that comes out, and when the last of it does."""
    way.offer(data, 0.0)
    out, last_s = bytearray(), 0.0
    while (next_s := way.next_s) is not None:
        came = way.take(next_s)
        out += came
        last_s = next_s if came else last_s
    return bytes(out), last_s


def lossy(loss: float, kbit_s: float, seed: int = 1) -> LossyWay:
    direction = Direction(DELAY_S, kbit_s * 125, loss)
    return LossyWay(direction.due_s, DELAY_S, loss, random.Random(seed))


@pytest.mark.parametrize("loss", [0.0, 0.02, 0.3])
def test_everything_arrives_in_order(loss: float) -> None:
    data = random.Random(5).randbytes(300_000)
    way = lossy(loss, 2000)
    assert carried(way, data)[0] == data and way.queued_bytes == 0
    assert (way.lost > 0) == (loss > 0)


def test_the_first_round_trips_are_slow_start() -> None:
    packets = int(FIRST_WINDOW) * 3  # 10, then 20
    took_s = carried(lossy(0.0, 0.0), bytes(packets * PACKET_BYTES))[1]
    assert took_s == pytest.approx(3 * DELAY_S, abs=0.001)


def test_without_loss_the_link_is_filled() -> None:
    data = bytes(2_000_000)
    took_s = carried(lossy(0.0, 2000), data)[1]
    assert len(data) / took_s > 0.9 * 250_000


def test_two_percent_of_loss_give_the_rate_that_is_known_for_it() -> None:
    """Mathis et al. (1997): packet · 1.22 / (round trip · √loss)."""
    data = bytes(6_000_000)
    rates = [len(data) / carried(lossy(0.02, 0.0, seed), data)[1] for seed in range(4)]
    known = PACKET_BYTES * 1.22 / (2 * DELAY_S * 0.02**0.5)
    assert 0.6 * known < sum(rates) / 4 < 1.4 * known


def test_a_lost_last_packet_waits_for_the_timer() -> None:
    class Unlucky(random.Random):
        left = 1

        def random(self) -> float:
            self.left -= 1
            return 0.0 if self.left == 0 else 1.0

    direction = Direction(DELAY_S, 0.0, 0.5)
    way = LossyWay(direction.due_s, DELAY_S, 0.5, Unlucky())
    out, took_s = carried(way, b"x")
    assert out == b"x" and took_s == pytest.approx(3 * DELAY_S + 0.2)
