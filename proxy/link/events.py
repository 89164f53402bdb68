"""What happens on the link, as values: streams that open, are answered, carry bytes and end.

In: nothing. Out: `Event`. Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Fields = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer asks for something (far end)."""

    stream_id: int
    fields: Fields
    ended: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """The head of an answer came (near end)."""

    stream_id: int
    fields: Fields
    ended: bool


@dataclass(frozen=True, slots=True)
class Came:
    """Body bytes came. They count against the stream's window until `consumed` is called."""

    stream_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer has sent all of its body."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A stream is over before its end; `unprocessed` when the peer has certainly done nothing for it."""

    stream_id: int
    code: int
    unprocessed: bool = False


@dataclass(frozen=True, slots=True)
class Drained:
    """What waited to be sent on a stream is below the mark where its source should go on."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """The peer will close; no new streams on this connection."""


Event = Opened | Answered | Came | Ended | Cut | Drained | Leaving
