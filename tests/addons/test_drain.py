from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from addons.drain import Drain
from tests.addons.flows import request


class FakeMaster:
    """As much of mitmproxy's master as draining touches."""

    def __init__(self) -> None:
        self.listening, self.ended = True, asyncio.Event()
        self.connections: dict[str, Any] = {}
        self.addons = SimpleNamespace(get=lambda name: self)
        self.servers = self

    async def update(self, modes: list[object]) -> None:
        self.listening = bool(modes)

    def shutdown(self) -> None:
        self.ended.set()


async def test_it_waits_for_flows_under_way() -> None:
    drain, master, flow = Drain(limit_s=5), FakeMaster(), request()
    drain.requestheaders(flow)
    stopping = asyncio.create_task(drain.stop(master))
    await asyncio.sleep(0.1)
    assert not master.listening and not master.ended.is_set()
    drain.response(flow)
    await asyncio.wait_for(stopping, 2)
    assert master.ended.is_set()


async def test_failed_flows_are_over_and_bytes_to_be_written_are_waited_for() -> None:
    drain, master, flow = Drain(limit_s=5), FakeMaster(), request()
    unwritten = [100]
    transport = SimpleNamespace(is_closing=lambda: False, get_write_buffer_size=lambda: unwritten[0])
    io = SimpleNamespace(writer=SimpleNamespace(transport=transport))
    master.connections["c"] = SimpleNamespace(transports={"client": io, "none": SimpleNamespace(writer=None)})
    drain.requestheaders(flow)
    drain.error(flow)
    stopping = asyncio.create_task(drain.stop(master))
    await asyncio.sleep(0.1)
    assert not master.ended.is_set()
    unwritten[0] = 0
    await asyncio.wait_for(stopping, 2)


async def test_endless_flows_are_cut_at_the_limit_or_by_a_second_signal() -> None:
    for limit_s, signals in ((0.05, 1), (60.0, 2)):
        drain, master = Drain(limit_s), FakeMaster()
        drain.requestheaders(request())
        stopping = [asyncio.create_task(drain.stop(master)) for _ in range(signals)]
        await asyncio.wait_for(master.ended.wait(), 5)
        for task in stopping:
            task.cancel()
