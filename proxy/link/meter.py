"""Exact accounts of a connection: every byte of the socket, each way, charged to a stream and a kind of traffic.

In: raw byte counts as the socket saw them, and which plaintext bytes of which stream they carried. Out: bytes by stream
and by kind; they add up to the socket's own count. Refuses nothing.

TLS adds bytes to a batch of frames; they are shared among the batch's streams in proportion to their plaintext, whole
bytes, nothing lost. Bytes of the TLS handshake, and of records that carried no frame, belong to the kind `connection`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

CONNECTION = "connection"
UNKNOWN = "other"


@dataclass(slots=True)
class Tally:
    """Bytes on the wire of one stream or kind; `up_bytes` go from the near end to the far end."""

    up_bytes: int = 0
    down_bytes: int = 0
    origin_bytes: int | None = None  # of an answer that crossed as recoded text: its body as the site sent it

    def add(self, up_bytes: int, down_bytes: int) -> None:
        """Count more bytes."""
        self.up_bytes += up_bytes
        self.down_bytes += down_bytes


@dataclass(slots=True)
class _Stream:
    kind: str
    tally: Tally


class Meter:
    """One connection's accounts; `up` says whether what this end sends goes up."""

    def __init__(self, sends_up: bool) -> None:
        self._sends_up = sends_up
        self._streams: dict[int, _Stream] = {0: _Stream(CONNECTION, Tally())}
        self._kinds: dict[str, Tally] = {}
        self._received_raw = 0  # raw bytes whose plaintext did not come out yet

    def open(self, stream_id: int, kind: str = UNKNOWN) -> Tally:
        """Start a stream's account; the tally that is returned goes on counting."""
        return self._streams.setdefault(stream_id, _Stream(kind, Tally())).tally

    def label(self, stream_id: int, kind: str) -> None:
        """What a stream turned out to carry."""
        if stream_id and stream_id in self._streams:
            self._streams[stream_id].kind = kind

    def close(self, stream_id: int) -> None:
        """A stream is over; what still comes for it counts as the connection's."""
        stream = self._streams.pop(stream_id, None) if stream_id else None
        if stream is not None:
            self._kinds.setdefault(stream.kind, Tally()).add(stream.tally.up_bytes, stream.tally.down_bytes)

    def keep_only(self, stream_ids: Container[int]) -> None:
        """Close the accounts of all other streams."""
        for stream_id in [each for each in self._streams if each and each not in stream_ids]:
            self.close(stream_id)

    def sent(self, raw_bytes: int, by_stream: dict[int, int]) -> None:
        """`raw_bytes` left through the socket and carried these."""
        self._charge(raw_bytes, by_stream, self._sends_up)

    def received(self, raw_bytes: int, by_stream: dict[int, int]) -> None:
        """`raw_bytes` came; they, and earlier ones whose record was incomplete, carried these."""
        self._received_raw += raw_bytes
        if by_stream:
            whole, self._received_raw = self._received_raw, 0
            self._charge(whole, by_stream, not self._sends_up)

    def totals(self) -> dict[str, Tally]:
        """Bytes by kind until now, open streams included; the sum is exactly what the socket carried."""
        sums = {kind: Tally(tally.up_bytes, tally.down_bytes) for kind, tally in self._kinds.items()}
        for stream in self._streams.values():
            sums.setdefault(stream.kind, Tally()).add(stream.tally.up_bytes, stream.tally.down_bytes)
        waiting = (0, self._received_raw) if self._sends_up else (self._received_raw, 0)
        sums.setdefault(CONNECTION, Tally()).add(*waiting)
        return sums

    def _charge(self, raw_bytes: int, by_stream: dict[int, int], up: bool) -> None:
        plain = sum(by_stream.values())
        if not plain:
            by_stream, plain = {0: 1}, 1
        left_raw, left_plain = raw_bytes, plain
        for stream_id, count in by_stream.items():
            share = left_raw * count // left_plain  # the last one takes the whole rest
            left_raw -= share
            left_plain -= count
            stream = self._streams.get(stream_id) or self._streams[0]
            stream.tally.add(share if up else 0, 0 if up else share)


def add_totals(base: Mapping[str, Tally], others: Iterable[Mapping[str, Tally]]) -> dict[str, Tally]:
    """The sums of tallies by kind."""
    sums = {kind: Tally(tally.up_bytes, tally.down_bytes) for kind, tally in base.items()}
    for other in others:
        for kind, tally in other.items():
            sums.setdefault(kind, Tally()).add(tally.up_bytes, tally.down_bytes)
    return sums
