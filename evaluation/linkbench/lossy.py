"""One direction of a TCP connection over a link that loses packets: what arrives when, in order.

In: bytes to carry, the time, the link's rate and delay. Out: bytes that arrived, and when to ask next. Refuses none.

A lost packet holds back everything behind it on its connection until it was sent again, and halves what may be under
way: NewReno with selective acknowledgements (RFC 5681, RFC 6675), an initial window of ten packets (RFC 6928), a timer
where fewer than three packets follow (RFC 6298, 200 ms at least as in Linux). Acknowledgements are not lost and take no
bandwidth. It stands in for `tc netem`, which needs a kernel module and rights.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

PACKET_BYTES = 1400
FIRST_WINDOW = 10.0
LEAST_TIMER_S = 0.2
FOLLOWING = 3  # packets behind a lost one that show that it is lost

Due = Callable[[float, int], float]  # when bytes that enter the link at a time come out


@dataclass(slots=True)
class _Packet:
    number: int
    data: bytes
    arrived: bool = False


class LossyWay:
    """`due` is the shared link of this direction; `delay_s` the way back of acknowledgements."""

    def __init__(self, due: Due, delay_s: float, loss: float, chance: random.Random) -> None:
        self._due, self._delay_s, self._loss, self._chance = due, delay_s, loss, chance
        self._waiting: deque[bytes] = deque()
        self._sent: deque[_Packet] = deque()  # in order, until delivered
        self._events: list[tuple[float, int, int, _Packet]] = []  # (when, order, what, packet)
        self._order = self._number = 0
        self._window, self._threshold = FIRST_WINDOW, float("inf")
        self._flying = 0
        self._recovering_to = -1
        self.queued_bytes = 0
        self.lost = 0

    def offer(self, data: bytes, now_s: float) -> None:
        """More bytes to carry."""
        for at in range(0, len(data), PACKET_BYTES):
            self._waiting.append(data[at : at + PACKET_BYTES])
        self.queued_bytes += len(data)
        self._pump(now_s)

    def take(self, now_s: float) -> bytes:
        """What arrived, in order, until now."""
        while self._events and self._events[0][0] <= now_s:
            when_s, _, what, packet = heapq.heappop(self._events)
            (self._arrives, self._acknowledged, self._missed)[what](packet, when_s)
        out = bytearray()
        while self._sent and self._sent[0].arrived:
            out += self._sent.popleft().data
        self.queued_bytes -= len(out)
        return bytes(out)

    @property
    def next_s(self) -> float | None:
        """When to take again."""
        return self._events[0][0] if self._events else None

    def _pump(self, now_s: float) -> None:
        while self._waiting and self._flying < self._window:
            packet = _Packet(self._number, self._waiting.popleft())
            self._number += 1
            self._sent.append(packet)
            self._send(packet, now_s)

    def _send(self, packet: _Packet, now_s: float) -> None:
        self._flying += 1
        due_s = self._due(now_s, len(packet.data))
        if self._chance.random() >= self._loss:
            return self._later(due_s, 0, packet)
        self.lost += 1
        more = len(self._waiting) + self._number - 1 - packet.number
        patience_s = 0.0 if more >= FOLLOWING else max(LEAST_TIMER_S, 2 * self._delay_s)
        self._later(due_s + self._delay_s + patience_s, 2, packet)

    def _later(self, when_s: float, what: int, packet: _Packet) -> None:
        self._order += 1
        heapq.heappush(self._events, (when_s, self._order, what, packet))

    def _arrives(self, packet: _Packet, when_s: float) -> None:
        packet.arrived = True
        self._later(when_s + self._delay_s, 1, packet)

    def _acknowledged(self, packet: _Packet, when_s: float) -> None:
        self._flying -= 1
        if packet.number > self._recovering_to:
            self._window += 1.0 if self._window < self._threshold else 1.0 / self._window
        self._pump(when_s)

    def _missed(self, packet: _Packet, when_s: float) -> None:
        self._flying -= 1
        if packet.number > self._recovering_to:  # one halving for all that was under way together
            self._threshold = self._window = max(2.0, self._window / 2)
            self._recovering_to = self._number - 1
        self._send(packet, when_s)
        self._pump(when_s)
