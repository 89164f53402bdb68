"""The queue and the batches, without HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from client_runtime.service.batch import Batcher, DeadlinePassed, Draining, Limits, QueueFull

PATIENCE_S = 5.0
Make = Callable[..., Batcher[int, str, str]]


class Press:
    """A `draw` that waits at its gate and remembers its batches."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()

    def draw(self, jobs: Sequence[int]) -> list[str]:
        self.batches.append(list(jobs))
        self.threads.add(threading.get_ident())
        self.entered.release()
        assert self.gate.wait(PATIENCE_S)
        return [f"drawn {job}" for job in jobs]

    async def started(self) -> None:
        assert await asyncio.to_thread(self.entered.acquire, True, PATIENCE_S)


@pytest.fixture
def press() -> Press:
    return Press()


@pytest.fixture
async def make(press: Press) -> AsyncIterator[Make]:
    made: list[Batcher[int, str, str]] = []
    with ThreadPoolExecutor(1) as worker, ThreadPoolExecutor(2) as finishers:

        def build(
            queue_size: int = 16,
            batch_size: int = 4,
            batch_wait_s: float = 0.0,
            batch_weight: int = 1000,
            draw: Any = press.draw,
            finish: Callable[[int, str], str] = lambda job, drawn: f"finished {drawn}",
        ) -> Batcher[int, str, str]:
            limits = Limits(queue_size, batch_size, batch_wait_s, batch_weight)
            batcher = Batcher(draw, finish, limits, worker, finishers)
            batcher.start()
            made.append(batcher)
            return batcher

        yield build
        press.gate.set()
        for batcher in made:
            await batcher.close(PATIENCE_S)


def soon(seconds: float = PATIENCE_S) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_job_is_drawn_and_finished(make: Make) -> None:
    ticket = make().submit(7, soon())
    assert await ticket.future == "finished drawn 7"
    assert ticket.started_s is not None and ticket.started_s >= ticket.submitted_s


async def test_batches_form_while_the_worker_is_busy(make: Make, press: Press) -> None:
    batcher = make(batch_size=4)
    press.gate.clear()
    first = batcher.submit(0, soon())
    await press.started()
    rest = [batcher.submit(job, soon()) for job in range(1, 7)]
    press.gate.set()
    await asyncio.gather(*(ticket.future for ticket in (first, *rest)))
    assert press.batches == [[0], [1, 2, 3, 4], [5, 6]]
    assert batcher.largest_batch == 4 and len(press.threads) == 1


async def test_a_batch_waits_for_company(make: Make, press: Press) -> None:
    batcher = make(batch_size=2, batch_wait_s=PATIENCE_S)
    first = batcher.submit(1, soon())
    await asyncio.sleep(0)
    second = batcher.submit(2, soon())
    await asyncio.gather(first.future, second.future)
    assert press.batches == [[1, 2]]


async def test_a_lonely_job_does_not_wait_for_ever(make: Make, press: Press) -> None:
    assert await make(batch_size=2, batch_wait_s=0.01).submit(1, soon()).future == "finished drawn 1"


async def test_a_batch_is_limited_by_weight_but_one_heavy_job_passes(make: Make, press: Press) -> None:
    batcher = make(batch_size=4, batch_weight=10)
    press.gate.clear()
    tickets = [batcher.submit(0, soon())]
    await press.started()
    tickets += [batcher.submit(job, soon(), weight) for job, weight in ((1, 6), (2, 6), (3, 99), (4, 1))]
    press.gate.set()
    await asyncio.gather(*(ticket.future for ticket in tickets))
    assert press.batches == [[0], [1], [2], [3], [4]]


async def test_a_full_queue_refuses(make: Make, press: Press) -> None:
    batcher = make(queue_size=2)
    press.gate.clear()
    batcher.submit(0, soon())
    await press.started()
    batcher.submit(1, soon())
    batcher.submit(2, soon())
    with pytest.raises(QueueFull):
        batcher.submit(3, soon())
    assert batcher.waiting == 2


async def test_a_cancelled_job_leaves_its_place_and_is_never_drawn(make: Make, press: Press) -> None:
    batcher = make(queue_size=1)
    press.gate.clear()
    first = batcher.submit(0, soon())
    await press.started()
    batcher.submit(1, soon()).future.cancel()
    assert batcher.waiting == 0
    third = batcher.submit(2, soon())
    press.gate.set()
    await asyncio.gather(first.future, third.future)
    assert press.batches == [[0], [2]]


async def test_a_cancelled_job_is_not_drawn_when_there_was_room_enough(make: Make, press: Press) -> None:
    batcher = make(queue_size=9)
    press.gate.clear()
    first = batcher.submit(0, soon())
    await press.started()
    batcher.submit(1, soon()).future.cancel()
    third = batcher.submit(2, soon())
    press.gate.set()
    await asyncio.gather(first.future, third.future)
    assert press.batches == [[0], [2]]


async def test_a_late_job_is_dropped_before_work(make: Make, press: Press) -> None:
    batcher = make()
    press.gate.clear()
    first = batcher.submit(0, soon())
    await press.started()
    late, punctual = batcher.submit(1, soon(-1.0)), batcher.submit(2, soon())
    press.gate.set()
    with pytest.raises(DeadlinePassed):
        await late.future
    await asyncio.gather(first.future, punctual.future)
    assert press.batches == [[0], [2]]


async def test_a_job_whose_client_left_after_the_start_is_finished_all_the_same(make: Make, press: Press) -> None:
    finished: list[int] = []
    batcher = make(finish=lambda job, drawn: finished.append(job) or drawn)
    press.gate.clear()
    ticket = batcher.submit(5, soon())
    await press.started()
    ticket.future.cancel()
    press.gate.set()
    assert await batcher.close(PATIENCE_S)
    assert finished == [5]


async def test_the_loop_runs_while_the_worker_works(make: Make, press: Press) -> None:
    press.gate.clear()
    ticket = make().submit(1, soon())
    await press.started()
    for _ in range(100):
        await asyncio.sleep(0)
    assert not ticket.future.done()
    press.gate.set()
    await ticket.future


async def test_a_slow_finish_holds_back_the_worker(make: Make, press: Press) -> None:
    door = threading.Event()
    batcher = make(batch_size=1, finish=lambda job, drawn: drawn if door.wait(PATIENCE_S) else "")
    tickets = [batcher.submit(job, soon()) for job in range(5)]
    await press.started()
    await press.started()
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert len(press.batches) == 2
    door.set()
    await asyncio.gather(*(ticket.future for ticket in tickets))
    assert len(press.batches) == 5


async def test_a_draw_that_raises_costs_its_own_batch_only(make: Make) -> None:
    def draw(jobs: Sequence[int]) -> list[str]:
        if 1 in jobs:
            raise OSError("out of paper")
        return [str(job) for job in jobs]

    batcher = make(batch_size=1, draw=draw)
    bad, good = batcher.submit(1, soon()), batcher.submit(2, soon())
    with pytest.raises(OSError, match="paper"):
        await bad.future
    assert await good.future == "finished 2"


async def test_too_few_outcomes_fail_the_rest_and_not_the_loop(make: Make) -> None:
    batcher = make(batch_size=2, batch_wait_s=PATIENCE_S, draw=lambda jobs: ["one"])
    tickets = [batcher.submit(job, soon()) for job in (1, 2)]
    assert await tickets[0].future == "finished one"
    with pytest.raises(RuntimeError, match="1 outcomes for 2 jobs"):
        await tickets[1].future


async def test_a_finish_that_raises_reaches_its_own_job(make: Make) -> None:
    def finish(job: int, drawn: str) -> str:
        if job == 1:
            raise ValueError("no ink")
        return drawn

    batcher = make(finish=finish)
    bad, good = batcher.submit(1, soon()), batcher.submit(2, soon())
    with pytest.raises(ValueError, match="ink"):
        await bad.future
    assert await good.future == "drawn 2"


async def test_closing_finishes_what_waits_and_takes_nothing_new(make: Make, press: Press) -> None:
    batcher = make(batch_size=1)
    press.gate.clear()
    tickets = [batcher.submit(job, soon()) for job in range(3)]
    await press.started()
    closing = asyncio.create_task(batcher.close(PATIENCE_S))
    await asyncio.sleep(0)
    with pytest.raises(Draining):
        batcher.submit(9, soon())
    press.gate.set()
    assert await closing
    assert [ticket.future.result() for ticket in tickets] == [f"finished drawn {job}" for job in range(3)]


async def test_closing_gives_up_in_time(make: Make, press: Press) -> None:
    batcher = make(batch_size=1)
    press.gate.clear()
    tickets = [batcher.submit(job, soon()) for job in range(2)]
    await press.started()
    assert not await batcher.close(0.05)
    for ticket in tickets:
        with pytest.raises(Draining):
            await ticket.future
