"""A forwarder that is a thin link: delay, bandwidth, an exact count of bytes, and cuts. A process of its own.

In: TCP connections, and commands on a control port (`stats`, `cut`, `cut 0.3`, `busy`). Out: the same bytes, later and
at the configured rate; a line of JSON for each command. Refuses: to buffer more than a router would; the sender is
slowed.

    python -m evaluation.linkbench.shaper HOST PORT --delay-ms 150 --kbit-s 256 --loss 0.02 --ready-file shaper.json

The delay is one way. A connection's first bytes wait a whole round trip more, for that is what the TCP handshake would
have taken; bandwidth is shared by all connections in a direction. Bytes are payload, without IP and TCP heads. With a
loss each connection behaves as TCP does then (`lossy.py`), slow start included; without one it fills the link at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.linkbench.lossy import LossyWay

QUEUE_BYTES = 256 * 1024
SAME_S = 0.005  # a shorter gap is none


@dataclass(slots=True)
class Direction:
    """One way of the link: what has passed, and when it is free again."""

    delay_s: float
    bytes_per_s: float
    loss: float = 0.0
    passed_bytes: int = 0
    connections: int = 0
    free_s: float = 0.0
    busy: list[list[float]] = field(default_factory=list)  # from when until when bytes went in, since they were asked

    def drawn(self) -> int:
        """A seed for the next connection: the same connections lose the same packets."""
        self.connections += 1
        return self.connections

    def due_s(self, now_s: float, size_bytes: int) -> float:
        """When bytes that enter now come out."""
        if self.bytes_per_s:
            begins_s = max(self.free_s, now_s)
            self.free_s = begins_s + size_bytes / self.bytes_per_s
            if self.busy and begins_s - self.busy[-1][1] < SAME_S:
                self.busy[-1][1] = self.free_s
            else:
                self.busy.append([begins_s, self.free_s])
            return self.free_s + self.delay_s
        return now_s + self.delay_s


class Pipe(asyncio.Protocol):
    """One end of a forwarded connection; what it receives goes out at `other`, in time."""

    def __init__(self, direction: Direction, extra_s: float) -> None:
        self.other: Pipe | None = None
        self.transport: asyncio.Transport | None = None
        self._direction = direction
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._queued_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._not_before_s = self._loop.time() + extra_s
        self._paused = self._blocked = self._ended = False
        lossy = LossyWay(direction.due_s, direction.delay_s, direction.loss, random.Random(direction.drawn()))
        self._lossy = lossy if direction.loss else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes to delay."""
        self._direction.passed_bytes += len(data)
        if self._lossy is not None:
            self._lossy.offer(data, max(self._loop.time(), self._not_before_s))
            self._queued_bytes = self._lossy.queued_bytes
            self._press()
            return self._arm()
        for at in range(0, len(data), 1400):  # packets: the rate shows within a long message, too
            piece = data[at : at + 1400]
            due_s = self._direction.due_s(max(self._loop.time(), self._not_before_s), len(piece))
            self._queue.append((due_s, piece))
        self._queued_bytes += len(data)
        self._press()
        self._arm()

    def eof_received(self) -> bool:
        """The end passes in order, like bytes."""
        self._ended = True
        if self._lossy is not None and self._lossy.next_s is not None:
            return True  # `_deliver` sees to it once all has arrived
        self._queue.append((max(self._loop.time(), self._not_before_s) + self._direction.delay_s, None))
        self._arm()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Closed: what is under way still arrives."""
        self.eof_received()

    def pause_writing(self) -> None:
        """The reader behind us is slow: so is the other end."""
        if self.other is not None:
            self.other.pause()

    def resume_writing(self) -> None:
        """It reads on."""
        if self.other is not None:
            self.other.resume()

    def pause(self) -> None:
        """Nothing goes out: the other end is not connected, or slow."""
        self._blocked = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def resume(self) -> None:
        """What waits goes out."""
        self._blocked = False
        self._arm()

    def _press(self) -> None:
        """Slow the sender down."""
        if self._direction.bytes_per_s and self._queued_bytes > QUEUE_BYTES and not self._paused:
            self._paused = True
            if self.transport is not None:
                self.transport.pause_reading()

    def _arm(self) -> None:
        next_s = self._lossy.next_s if self._lossy is not None else None
        if next_s is None and self._queue:
            next_s = self._queue[0][0]
        if self._timer is not None and next_s is not None and next_s < self._timer.when():
            self._timer.cancel()
            self._timer = None
        if self._timer is None and next_s is not None and not self._blocked:
            self._timer = self._loop.call_at(next_s, self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        out, ended, now_s = bytearray(), False, self._loop.time() + 0.0005
        if self._lossy is not None:
            out += self._lossy.take(now_s)
            if self._ended and self._lossy.next_s is None and not self._queue:
                self._queue.append((now_s, None))
        while self._queue and self._queue[0][0] <= now_s and not ended:
            piece = self._queue.popleft()[1]
            if piece is None:
                ended = True
            else:
                out += piece
        self._queued_bytes = self._queued_bytes - len(out) if self._lossy is None else self._lossy.queued_bytes
        target = self.other.transport if self.other is not None else None
        if target is not None and not target.is_closing():
            if out:
                target.write(bytes(out))
            if ended:
                target.close()
        if self._paused and self._queued_bytes <= QUEUE_BYTES // 2 and self.transport is not None:
            self._paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        self._arm()


@dataclass
class Shaper:
    """The forwarder."""

    host: str
    port: int
    up: Direction
    down: Direction
    pairs: list[tuple[Pipe, Pipe]] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one command on the control port."""
        words = (await reader.readline()).decode().split()
        if words[:1] == ["cut"]:
            chance = float(words[1]) if len(words) > 1 else 1.0
            for pipes in [each for each in self.pairs if random.random() < chance]:
                for pipe in pipes:
                    if pipe.transport is not None:
                        pipe.transport.abort()
        if words[:1] == ["busy"]:
            busy, self.down.busy = self.down.busy, []
            writer.write(json.dumps(busy).encode() + b"\n")
            return writer.close()
        told = {"up": self.up.passed_bytes, "down": self.down.passed_bytes, "connections": self.connections}
        writer.write(json.dumps(told).encode() + b"\n")
        writer.close()

    async def forward(self, near: Pipe) -> None:
        """Connect the far side of a connection that came."""
        far = Pipe(self.down, 0.0)
        near.other, far.other = far, near
        near.pause()
        self.connections += 1
        try:
            await asyncio.get_running_loop().create_connection(lambda: far, self.host, self.port)
        except OSError:
            if near.transport is not None:
                near.transport.abort()
            return
        near.resume()
        self.pairs = [pair for pair in self.pairs if pair[0].transport and not pair[0].transport.is_closing()]
        self.pairs.append((near, far))

    def accept(self) -> Pipe:
        """A protocol for a connection that comes."""
        pipe = Pipe(self.up, 2 * self.up.delay_s)
        task = asyncio.get_running_loop().create_task(self.forward(pipe))
        task.add_done_callback(lambda done: done.exception())
        return pipe


async def run(options: argparse.Namespace) -> None:
    """Forward until the process is ended."""
    rate = options.kbit_s * 1000 / 8
    shaper = Shaper(
        options.host,
        options.port,
        Direction(options.delay_ms / 1000, rate, options.loss),
        Direction(options.delay_ms / 1000, rate, options.loss),
    )
    loop = asyncio.get_running_loop()
    server = await loop.create_server(shaper.accept, "127.0.0.1", 0, backlog=512)
    control = await asyncio.start_server(shaper.serve, "127.0.0.1", 0)
    ports = [each.sockets[0].getsockname()[1] for each in (server, control)]
    told = json.dumps({"port": ports[0], "control": ports[1]})
    draft = Path(f"{options.ready_file}.tmp")
    draft.write_text(told, encoding="utf-8")
    draft.replace(options.ready_file)
    await asyncio.Event().wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--delay-ms", type=float, default=150.0, help="one way")
    parser.add_argument("--kbit-s", type=float, default=0.0, help="each way; 0 for no limit")
    parser.add_argument("--loss", type=float, default=0.0, help="share of packets that are lost, each way")
    parser.add_argument("--ready-file", required=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
