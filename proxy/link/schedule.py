"""Decides whose body bytes go over the link next.

In: streams with an urgency, and how much each could send now. Out: the stream to serve. Refuses: to starve anyone; each
eighth turn belongs to the least urgent stream that waits.

HTTP/2's own priorities are deprecated (RFC 9113, section 5.3), so the sender decides alone, from what RFC 9218 calls
urgency (0 first, 7 last). Within an urgency, pictures and the like go one after the other in the order they were asked
for, because half a picture is of no use; pages, scripts and data take turns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

FAIR_TURN = 8


@dataclass(frozen=True, slots=True)
class Rank:
    """A stream's place: `urgency` 0 (first) to 7; `shared` streams of an urgency take turns."""

    urgency: int = 3
    shared: bool = False


class Schedule:
    """The streams that have something to send."""

    def __init__(self) -> None:
        self._ranks: dict[int, Rank] = {}  # in the order they began to wait
        self._turn = 0

    def add(self, stream_id: int, rank: Rank) -> None:
        """A stream has bytes to send; one that waits already keeps its place."""
        self._ranks.setdefault(stream_id, rank)

    def remove(self, stream_id: int) -> None:
        """A stream has nothing to send any more, or is gone."""
        self._ranks.pop(stream_id, None)

    def __bool__(self) -> bool:
        return bool(self._ranks)

    def next(self, ready: Callable[[int], bool]) -> int | None:
        """The stream to serve among those for which `ready` holds; None when there is none."""
        waiting = [stream_id for stream_id in self._ranks if ready(stream_id)]
        if not waiting:
            return None
        self._turn += 1
        pick = max if self._turn % FAIR_TURN == 0 else min
        urgency = pick(self._ranks[stream_id].urgency for stream_id in waiting)
        peers = [stream_id for stream_id in waiting if self._ranks[stream_id].urgency == urgency]
        chosen = next((each for each in peers if self._ranks[each].shared), None)
        in_order = min((each for each in peers if not self._ranks[each].shared), default=None)
        if chosen is None or (in_order is not None and self._turn % 2):
            return in_order
        self._ranks[chosen] = self._ranks.pop(chosen)  # to the end of the queue: the next turn is another's
        return chosen
