"""Several runtimes as one: members that do what a test says, and real services with an engine of fixed cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client_runtime.engines.base import Capabilities, Task
from client_runtime.service.server import serving
from proxy.config import DownstreamConfig, RuntimeConfig
from proxy.policy import Reason
from proxy.restore import Restored, Restorer
from proxy.runtime_client import (
    Reconstructed,
    RuntimeBusy,
    RuntimeCapabilities,
    RuntimeRefused,
    RuntimeTimeout,
    RuntimeUnavailable,
)
from proxy.runtimes.balance import FAILURES
from proxy.runtimes.pool import RuntimePool
from tests.client_runtime.conftest import make_bundle

PATIENCE_S = 20.0


class Stub:
    """A runtime that answers at once, or waits at its gate, or raises."""

    def __init__(self, url: str) -> None:
        self.url, self.label = url, "stub@01234567"
        self.asked = self.cancelled = 0
        self.trouble: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()

    async def capabilities(self) -> RuntimeCapabilities | None:
        engine, _, fingerprint = self.label.partition("@")
        return RuntimeCapabilities(engine, fingerprint, (), "1", None) if self.label else None

    async def reconstruct(self, *args: Any, **more: Any) -> Reconstructed:
        self.asked += 1
        self.entered.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.trouble is not None:
            raise self.trouble
        return Reconstructed(self.url.encode(), "image/png", self.label, False, 0.0, 0.0)

    async def close(self) -> None:
        pass


def pool_of(count: int) -> tuple[RuntimePool, list[Stub]]:
    stubs = [Stub(f"http://{number}") for number in range(count)]
    waiting = iter(stubs)
    return RuntimePool([stub.url for stub in stubs], connect=lambda url: next(waiting)), stubs


async def ask(pool: RuntimePool, deadline_s: float = PATIENCE_S) -> bytes:
    return (await pool.reconstruct(b"bundle", None, "image/png", deadline_s)).body


async def test_the_next_one_is_asked_when_one_is_busy_or_away() -> None:
    pool, (first, second) = pool_of(2)
    await pool.capabilities()
    for trouble in (RuntimeBusy("full", 1.0), RuntimeUnavailable("gone")):
        first.trouble = trouble
        for _ in range(3):
            assert await ask(pool) == b"http://1"
    assert first.asked >= 1
    second.trouble = RuntimeBusy("full", 1.0)
    with pytest.raises(RuntimeBusy):
        await ask(pool)


async def test_a_runtime_that_keeps_failing_is_left_alone() -> None:
    pool, (first, _) = pool_of(2)
    first.trouble = RuntimeUnavailable("gone")
    for _ in range(4 * FAILURES):
        assert await ask(pool) == b"http://1"
    assert first.asked <= FAILURES


async def test_what_one_refuses_is_not_taken_to_the_next() -> None:
    pool, stubs = pool_of(2)
    for stub in stubs:
        stub.trouble = RuntimeRefused("no bundle", 400)
    with pytest.raises(RuntimeRefused):
        await ask(pool)
    assert sum(stub.asked for stub in stubs) == 1


async def test_late_is_told_as_late_and_nobody_as_unavailable() -> None:
    pool, (first, second) = pool_of(2)
    first.trouble, second.trouble = RuntimeTimeout("late"), RuntimeBusy("full", 1.0)
    with pytest.raises(RuntimeTimeout):
        await ask(pool)
    first.trouble = second.trouble = RuntimeUnavailable("gone")
    for _ in range(2 * FAILURES):
        with pytest.raises(RuntimeUnavailable):
            await ask(pool)


async def test_a_slow_answer_is_hedged_once_and_the_loser_is_taken_back() -> None:
    pool, (first, second) = pool_of(2)
    await pool.capabilities()
    for _ in range(60):
        await ask(pool)
    slow, quick = (first, second) if pool.balance.order(time.monotonic())[0].place == 0 else (second, first)
    slow.gate.clear()
    assert await ask(pool) == quick.url.encode()
    assert (pool.hedged, pool.hedges_won, slow.cancelled) == (1, 1, 1)
    assert all(standing.in_hand == 0 for standing in pool.balance.standings)


async def test_without_history_nothing_is_hedged() -> None:
    pool, (first, second) = pool_of(2)
    first.gate.clear()
    waiting = asyncio.create_task(ask(pool))
    await first.entered.wait()
    await asyncio.sleep(0.1)
    assert second.asked == 0
    first.gate.set()
    assert await waiting == b"http://0"


async def test_a_caller_that_leaves_takes_its_question_back() -> None:
    pool, (only,) = pool_of(1)
    only.gate.clear()
    waiting = asyncio.create_task(ask(pool))
    await only.entered.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert only.cancelled == 1 and pool.balance.standings[0].in_hand == 0


async def test_the_engine_of_most_is_announced() -> None:
    pool, stubs = pool_of(3)
    stubs[0].label = "old@89abcdef"
    about = await pool.capabilities()
    assert about is not None and about.label == "stub@01234567"
    stubs[1].label = stubs[2].label = ""
    about = await pool.capabilities()
    assert about is not None and about.label == "old@89abcdef"
    stubs[0].label = ""
    assert await pool.capabilities() is None


class Costly:
    """Draws for as long as a picture costs, asleep."""

    def __init__(self, cost_s: float) -> None:
        self._cost_s = cost_s

    def capabilities(self) -> Capabilities:
        return Capabilities("costly", "0123456789abcdef", ("thumbnail",))

    def reconstruct(self, tasks: Sequence[Task]) -> list[Any]:
        time.sleep(self._cost_s * len(tasks))
        return [np.full((t.bundle.height_px, t.bundle.width_px, 3), t.bundle.seed, np.uint8) for t in tasks]

    def close(self) -> None:
        pass


async def start(stack: AsyncExitStack, folder: Path, cost_s: float, **settings: Any) -> str:
    defaults = {"batch_size": 1, "batch_wait_ms": 0.0, "cache_bytes": 0, "deadline_s": PATIENCE_S}
    config = RuntimeConfig(listen_port=0, state_dir=str(folder), **{**defaults, **settings})
    ready, _ = await stack.enter_async_context(serving(config, lambda: Costly(cost_s), drain_s=3.0))
    return f"http://127.0.0.1:{ready.port}"


async def test_two_runtimes_draw_nearly_twice_as_much(tmp_path: Path) -> None:
    cost_s, pictures = 0.2, 12
    async with AsyncExitStack() as stack:
        urls = [await start(stack, tmp_path / str(number), cost_s) for number in range(2)]
        took_s = []
        for some in (urls[:1], urls):
            pool = await stack.enter_async_context(RuntimePool(some))
            await pool.capabilities()
            began_s = time.monotonic()
            wanted = (pool.reconstruct(make_bundle(seed=n), None, "image/png", PATIENCE_S) for n in range(pictures))
            await asyncio.gather(*wanted)
            took_s.append(time.monotonic() - began_s)
    assert took_s[0] >= cost_s * pictures
    assert took_s[0] / took_s[1] >= 1.7


async def test_when_all_are_full_the_user_sees_a_preview(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        urls = [await start(stack, tmp_path / str(number), 0.5, queue_size=1) for number in range(2)]
        pool = await stack.enter_async_context(RuntimePool(urls))
        restorer = Restorer(DownstreamConfig(reconstruct_deadline_s=PATIENCE_S), pool)
        wanted = (restorer.restore(make_bundle(seed=n), None, "image/png", "image/png", "anna") for n in range(12))
        restored = await asyncio.gather(*wanted)
    assert all(isinstance(each, Restored) and each.width_px == 64 for each in restored)
    reasons = [each.reason for each in restored if isinstance(each, Restored)]
    assert set(reasons) == {None, Reason.BUSY}, reasons
