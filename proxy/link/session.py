"""The link's protocol without sockets and clocks: HTTP/2 streams with windows, order and liveness of our own.

In: plaintext bytes and the time; calls that open, answer, feed and end streams. Out: events, and at most as many bytes
as the socket wants now. Refuses: what HTTP/2 refuses (`LinkBroken`); a peer that does not answer a PING.

How it differs from a web server's HTTP/2. The connection's window is opened as soon as bytes arrive and only streams
push back, so that one slow reader delays nobody. A stream whose reader keeps up gets a larger window, so that a single
download fills a long fat pipe. Body bytes wait here, not in the socket, so that an urgent stream overtakes. Fields that
are never the same twice stay out of the compression table, which then holds what does repeat.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hpack import NeverIndexedHeaderTuple
from hpack.exceptions import HPACKError

from proxy.link.events import Answered, Came, Cut, Drained, Ended, Event, Fields, Leaving, Opened
from proxy.link.schedule import Rank, Schedule

CANCEL = int(h2.errors.ErrorCodes.CANCEL)
INTERNAL_ERROR = int(h2.errors.ErrorCodes.INTERNAL_ERROR)
REFUSED_STREAM = int(h2.errors.ErrorCodes.REFUSED_STREAM)

CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024
STREAM_WINDOW_BYTES = 1024 * 1024
WIDE_WINDOW_BYTES = 8 * 1024 * 1024
MAX_STREAMS = 512
HEADER_TABLE_BYTES = 32 * 1024
HEADER_LIST_BYTES = 128 * 1024
DATA_BYTES = 16_000  # with its frame head it fits one TLS record
RECORD_BYTES = 2_048  # a TLS record adds 22 bytes
LAST_STREAM_ID = 2**30
TEXT_SETTING = 0xF5  # which dictionary for text the sender has (hyperframe writes one byte of an identifier)

_ONE_TIME = frozenset(
    (
        b":path",
        b"age",
        b"content-length",
        b"content-range",
        b"etag",
        b"expires",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"last-modified",
        b"location",
        b"range",
        b"set-cookie",
    )
)


class LinkBroken(Exception):
    """The peer does not keep to the protocol; the connection must be closed, after sending what `take` still has."""


@dataclass(frozen=True, slots=True)
class Patience:
    """When to ask whether the peer is still there, and how long to wait for its answer."""

    idle_s: float = 45.0  # below common NAT timeouts
    waiting_s: float = 5.0  # silence while answers are awaited
    pong_s: float = 10.0
    rested_s: float = 300.0  # after so long without streams, silence costs nothing


PATIENT = Patience()


@dataclass(slots=True)
class _Stream:
    rank: Rank = field(default_factory=Rank)
    waiting: deque[bytes] = field(default_factory=deque)
    waiting_bytes: int = 0
    end_waits: bool = False
    full: bool = False  # the source was told to pause
    unread_bytes: int = 0  # came and not consumed
    consumed_bytes: int = 0  # consumed and not yet given back to the peer's window
    window_bytes: int = STREAM_WINDOW_BYTES
    read_bytes: int = 0
    remote_done: bool = False
    local_done: bool = False


class Session:
    """One connection's protocol state; `client` is the near end."""

    HIGH_BYTES = 256 * 1024  # a stream with more waiting is full
    LOW_BYTES = 64 * 1024

    def __init__(self, client: bool, now_s: float, patience: Patience = PATIENT, dictionary_id: int = 0) -> None:
        self._client = client
        self._patience = patience
        self._streams: dict[int, _Stream] = {}
        self._schedule = Schedule()
        self._events: deque[Event] = deque()
        self._heard_s = self._used_s = now_s
        self._asked_s: float | None = None
        self._unreturned_bytes = 0  # of the connection's window
        self._leaving = False
        config = h2.config.H2Configuration(
            client_side=client,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            # what a browser or a site wrote must never end the connection of all; `heads` and h11 judge each head
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
        )
        self._h2 = h2.connection.H2Connection(config)
        codes = h2.settings.SettingCodes
        self._h2.local_settings = h2.settings.Settings(
            client=client,
            initial_values={
                codes.HEADER_TABLE_SIZE: HEADER_TABLE_BYTES,
                codes.ENABLE_PUSH: 0,
                codes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                codes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
                codes.MAX_HEADER_LIST_SIZE: HEADER_LIST_BYTES,
                **({TEXT_SETTING: dictionary_id} if dictionary_id else {}),
            },
        )
        self._h2.decoder.max_header_list_size = HEADER_LIST_BYTES
        self._h2.decoder.max_allowed_table_size = HEADER_TABLE_BYTES
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW_BYTES - 65_535)

    @property
    def peer_dictionary_id(self) -> int | None:
        """The dictionary for text that the peer has; None when it takes no recoded text."""
        said = self._h2.remote_settings.get(TEXT_SETTING)
        return None if said is None else int(said)

    # streams

    def request(self, fields: Fields, rank: Rank, ended: bool) -> int:
        """Open a stream. Raises LinkBroken when there can be no more of them."""
        try:
            stream_id = int(self._h2.get_next_available_stream_id())
            self._h2.send_headers(stream_id, _indexed(fields), end_stream=ended)
        except h2.exceptions.ProtocolError as error:
            raise LinkBroken(str(error)) from error
        self._streams[stream_id] = _Stream(rank, local_done=ended)
        return stream_id

    @property
    def can_request(self) -> bool:
        """Whether a new stream may be opened now."""
        room = self._h2.open_outbound_streams < self._h2.remote_settings.max_concurrent_streams
        return room and not self._leaving and self._h2.highest_outbound_stream_id < LAST_STREAM_ID

    @property
    def is_leaving(self) -> bool:
        """Whether the peer said goodbye, or the connection is used up."""
        return self._leaving or self._h2.highest_outbound_stream_id >= LAST_STREAM_ID

    def answer(self, stream_id: int, fields: Fields, ended: bool) -> None:
        """Send an answer's head; nothing happens when the stream is gone."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.local_done:
            return
        stream.local_done = ended
        self._h2.send_headers(stream_id, _indexed(fields), end_stream=ended)
        self._finish(stream_id, stream)

    def prefer(self, stream_id: int, rank: Rank) -> None:
        """Give a stream its place before its body bytes come."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.rank = rank

    def send(self, stream_id: int, data: bytes, ended: bool = False) -> bool:
        """Queue body bytes; returns whether the source may go on at once (else `Drained` will say when)."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.local_done or stream.end_waits:
            return True
        if data:
            stream.waiting.append(data)
            stream.waiting_bytes += len(data)
        stream.end_waits = ended
        if data or ended:
            self._schedule.add(stream_id, stream.rank)
        stream.full = stream.full or stream.waiting_bytes > self.HIGH_BYTES
        return not stream.full

    def consumed(self, stream_id: int, count: int) -> None:
        """The reader took `count` bytes; the peer may send as many more."""
        stream = self._streams.get(stream_id)
        if stream is None or not count:
            return
        stream.unread_bytes -= count
        stream.consumed_bytes += count
        stream.read_bytes += count
        if stream.remote_done or stream.consumed_bytes < stream.window_bytes // 4:
            return
        grown = 0
        if stream.read_bytes >= stream.window_bytes and not stream.unread_bytes:
            grown = min(2 * stream.window_bytes, WIDE_WINDOW_BYTES) - stream.window_bytes
        stream.window_bytes += grown
        increment, stream.consumed_bytes = stream.consumed_bytes + grown, 0
        self._h2.increment_flow_control_window(increment, stream_id)

    def reset(self, stream_id: int, code: int = CANCEL) -> None:
        """Give a stream up; the peer stops sending."""
        if self._streams.pop(stream_id, None) is None:
            return
        self._schedule.remove(stream_id)
        with contextlib.suppress(h2.exceptions.ProtocolError):  # the peer was faster
            self._h2.reset_stream(stream_id, code)

    def leave(self) -> None:
        """Tell the peer that no new streams are welcome."""
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.close_connection(last_stream_id=self._h2.highest_inbound_stream_id)

    @property
    def open_streams(self) -> int:
        """Streams under way."""
        return len(self._streams)

    @property
    def stream_ids(self) -> Container[int]:
        """Which streams those are."""
        return self._streams.keys()

    # the wire

    def receive(self, plain: bytes, now_s: float) -> None:
        """Take plaintext bytes in; `events` has what they mean. Raises LinkBroken."""
        self._heard_s, self._asked_s = now_s, None
        if self._streams:
            self._used_s = now_s
        try:
            for event in self._h2.receive_data(plain):
                self._handle(event)
        except (h2.exceptions.H2Error, HPACKError, ValueError, IndexError, KeyError) as error:
            raise LinkBroken(f"{type(error).__name__}: {error}") from error
        if self._unreturned_bytes >= CONNECTION_WINDOW_BYTES // 8:
            self._h2.increment_flow_control_window(self._unreturned_bytes)
            self._unreturned_bytes = 0

    def events(self) -> Iterable[Event]:
        """What happened since the last call; handling one may add more."""
        while self._events:
            yield self._events.popleft()

    def take(self, limit_bytes: int) -> bytes:
        """Bytes for the socket, to be encrypted together: all about the connection, heads, body bytes up to the limit.

        They end where a body ends once they are worth a TLS record: the peer cannot read a record before all of it has
        come, and on a thin link a picture would wait for the beginning of the next ones.
        """
        out = bytearray(self._h2.data_to_send())
        while self._schedule and len(out) < limit_bytes:
            stream_id = self._schedule.next(self._can_send)
            if stream_id is None:
                break
            ended = self._send_some(stream_id, self._streams[stream_id])
            out += self._h2.data_to_send()
            if ended and len(out) >= RECORD_BYTES:
                break
        return bytes(out)

    def tick(self, now_s: float) -> bool:
        """Keep the connection alive: returns False when the peer is gone."""
        if self._streams:
            self._used_s = now_s
        if self._asked_s is not None:
            return now_s - self._asked_s < self._patience.pong_s
        silence_s = now_s - self._heard_s
        rested = now_s - self._used_s > self._patience.rested_s
        due_s = self._patience.waiting_s if self._awaits() else self._patience.idle_s
        if self._client and silence_s >= due_s and not rested:
            self._h2.ping(b"\0\0\0\0link")
            self._asked_s = now_s
        return True

    def _awaits(self) -> bool:
        return any(not stream.remote_done for stream in self._streams.values())

    def _can_send(self, stream_id: int) -> bool:
        stream = self._streams.get(stream_id)
        if stream is None:
            return False
        return not stream.waiting or self._h2.local_flow_control_window(stream_id) > 0

    def _send_some(self, stream_id: int, stream: _Stream) -> bool:
        """Send a frame's worth of a body; returns whether that was its end."""
        piece = b""
        if stream.waiting:
            room = min(self._h2.local_flow_control_window(stream_id), DATA_BYTES, self._h2.max_outbound_frame_size)
            piece = stream.waiting.popleft()
            while len(piece) < room and stream.waiting:
                piece += stream.waiting.popleft()
            if len(piece) > room:
                stream.waiting.appendleft(piece[room:])
                piece = piece[:room]
            stream.waiting_bytes -= len(piece)
        ended = stream.end_waits and not stream.waiting
        self._h2.send_data(stream_id, piece, end_stream=ended)
        if not stream.waiting:
            self._schedule.remove(stream_id)
        if stream.full and stream.waiting_bytes <= self.LOW_BYTES:
            stream.full = False
            self._events.append(Drained(stream_id))
        if ended:
            stream.local_done = True
            self._finish(stream_id, stream)
        return ended

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.DataReceived():
                self._data(event)
            case h2.events.RequestReceived():
                self._streams[event.stream_id] = _Stream()
                self._events.append(Opened(event.stream_id, event.headers, event.stream_ended is not None))
            case h2.events.ResponseReceived():
                if event.stream_id in self._streams:
                    self._events.append(Answered(event.stream_id, event.headers, event.stream_ended is not None))
            case h2.events.StreamEnded():
                stream = self._streams.get(event.stream_id)
                if stream is not None:
                    stream.remote_done = True
                    self._events.append(Ended(event.stream_id))
                    self._finish(event.stream_id, stream)
            case h2.events.StreamReset():
                if self._streams.pop(event.stream_id, None) is not None:
                    self._schedule.remove(event.stream_id)
                    unprocessed = event.error_code == REFUSED_STREAM
                    self._events.append(Cut(event.stream_id, int(event.error_code), unprocessed))
            case h2.events.ConnectionTerminated():
                self._goodbye(event)
            case _:
                pass

    def _data(self, event: h2.events.DataReceived) -> None:
        self._unreturned_bytes += event.flow_controlled_length
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        padding = event.flow_controlled_length - len(event.data)
        stream.consumed_bytes += padding
        stream.unread_bytes += len(event.data)
        if event.data:
            self._events.append(Came(event.stream_id, event.data))

    def _goodbye(self, event: h2.events.ConnectionTerminated) -> None:
        self._leaving = True
        self._events.append(Leaving())
        if self._client and event.last_stream_id is not None:
            for stream_id in [each for each in self._streams if each > event.last_stream_id]:
                del self._streams[stream_id]
                self._schedule.remove(stream_id)
                self._events.append(Cut(stream_id, REFUSED_STREAM, unprocessed=True))

    def _finish(self, stream_id: int, stream: _Stream) -> None:
        if stream.local_done and stream.remote_done:
            self._streams.pop(stream_id, None)
            self._schedule.remove(stream_id)


def _indexed(fields: Fields) -> list[tuple[bytes, bytes]]:
    """Fields that change every time are kept out of the compression table."""
    return [NeverIndexedHeaderTuple(*each) if each[0] in _ONE_TIME else each for each in fields]
