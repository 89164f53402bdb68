"""A bounded queue in front of one worker thread, which takes what waits in small batches.

In: jobs with deadlines. Out: one future per job, with the job's finished result.
Refuses: jobs when the queue is full (`QueueFull`) or closing (`Draining`); late ones end with `DeadlinePassed`, undone.

Life of a job: `submit` → waiting → taken into a batch → `draw` (the whole batch, in the one worker thread) → `finish`
(each job, in a pool, while the next batch is drawn) → its future's result. A job whose future was cancelled while it
waited is never drawn; one that is cancelled later is finished all the same, since `finish` may keep the result for
the next who asks. At most `BATCHES_IN_HAND` batches are between taking and finished, so that a slow pool holds back
the worker and not the memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

BATCHES_IN_HAND = 2

JobT = TypeVar("JobT")
OutcomeT = TypeVar("OutcomeT")  # what drawing a job gave
ResultT = TypeVar("ResultT")  # what finishing that gave


class QueueFull(Exception):
    """As many jobs wait as may; ask again later, or somewhere else."""


class Draining(Exception):
    """The process is going down and takes nothing new."""


class DeadlinePassed(Exception):
    """The job's time was over before its turn came."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the queue may be, and how much goes into a batch (`batch_weight` in the unit of the weights)."""

    queue_size: int
    batch_size: int
    batch_wait_s: float
    batch_weight: int


@dataclass(slots=True, eq=False)
class Ticket(Generic[JobT, ResultT]):
    """A job on its way. Times are those of the event loop; `started_s` is None until the job is taken."""

    job: JobT
    deadline_s: float
    weight: int
    submitted_s: float
    future: asyncio.Future[ResultT]
    started_s: float | None = None


class Batcher(Generic[JobT, OutcomeT, ResultT]):
    """Runs jobs. `draw` returns one outcome per job; it is only called from `worker`, which must have one thread."""

    def __init__(
        self,
        draw: Callable[[Sequence[JobT]], Sequence[OutcomeT]],
        finish: Callable[[JobT, OutcomeT], ResultT],
        limits: Limits,
        worker: Executor,
        finishers: Executor,
    ) -> None:
        self._draw, self._finish, self._limits = draw, finish, limits
        self._worker, self._finishers = worker, finishers
        self._waiting: deque[Ticket[JobT, ResultT]] = deque()
        self._changed = asyncio.Event()
        self._in_hand = asyncio.Semaphore(BATCHES_IN_HAND)
        self._finishing: set[asyncio.Task[None]] = set()
        self._taken: set[Ticket[JobT, ResultT]] = set()
        self._closing = False
        self._loop_task: asyncio.Task[None] | None = None
        self.batches = 0
        self.largest_batch = 0

    @property
    def waiting(self) -> int:
        """Jobs that wait and whose clients still do."""
        return sum(not ticket.future.done() for ticket in self._waiting)

    def start(self) -> None:
        """Begin to work; needs a running event loop."""
        self._loop_task = asyncio.create_task(self._run(), name="sketchwire-batches")

    def submit(self, job: JobT, deadline_s: float, weight: int = 1) -> Ticket[JobT, ResultT]:
        """Queue `job`. `deadline_s` is a time of the event loop's clock. Raises QueueFull or Draining."""
        if self._closing:
            raise Draining
        if len(self._waiting) >= self._limits.queue_size:
            self._waiting = deque(ticket for ticket in self._waiting if not ticket.future.done())
            if len(self._waiting) >= self._limits.queue_size:
                raise QueueFull
        loop = asyncio.get_running_loop()
        ticket: Ticket[JobT, ResultT] = Ticket(job, deadline_s, weight, loop.time(), loop.create_future())
        self._waiting.append(ticket)
        self._changed.set()
        return ticket

    async def close(self, limit_s: float) -> bool:
        """Take nothing new, do what waits for at most `limit_s`, drop the rest. True when nothing was dropped."""
        self._closing = True
        self._changed.set()
        try:
            async with asyncio.timeout(limit_s):
                if self._loop_task is not None:
                    await asyncio.wait([self._loop_task])
                while self._finishing:
                    await asyncio.wait(set(self._finishing))
        except TimeoutError:
            for task in (self._loop_task, *self._finishing):
                if task is not None:
                    task.cancel()
            for ticket in (*self._waiting, *self._taken):
                _fail(ticket, Draining())
            return False
        return True

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._in_hand.acquire()
            batch = await self._collect()
            if not batch:
                return
            self._taken.update(batch)
            self.batches += 1
            self.largest_batch = max(self.largest_batch, len(batch))
            try:
                outcomes = await loop.run_in_executor(self._worker, self._draw, [ticket.job for ticket in batch])
            except Exception as error:  # a draw that breaks its promise costs its own batch, not the loop
                self._put_down(batch, error)
                continue
            task = asyncio.create_task(self._finish_all(batch, outcomes))
            self._finishing.add(task)
            task.add_done_callback(self._finishing.discard)

    async def _collect(self) -> list[Ticket[JobT, ResultT]]:
        """The next batch, when there is something to do; empty when closing and nothing waits."""
        while True:
            while not self._waiting:
                if self._closing:
                    return []
                self._changed.clear()
                await self._changed.wait()
            await self._let_it_fill()
            batch = self._take()
            if batch:
                return batch

    async def _let_it_fill(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._limits.batch_wait_s
        while len(self._waiting) < self._limits.batch_size and not self._closing and loop.time() < until:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                return

    def _take(self) -> list[Ticket[JobT, ResultT]]:
        now = asyncio.get_running_loop().time()
        batch: list[Ticket[JobT, ResultT]] = []
        weight = 0
        while self._waiting and len(batch) < self._limits.batch_size:
            ticket = self._waiting[0]
            if ticket.future.done() or ticket.deadline_s <= now:
                _fail(self._waiting.popleft(), DeadlinePassed())
                continue
            weight += ticket.weight
            if batch and weight > self._limits.batch_weight:
                break
            ticket.started_s = now
            batch.append(self._waiting.popleft())
        return batch

    async def _finish_all(self, batch: list[Ticket[JobT, ResultT]], outcomes: Sequence[OutcomeT]) -> None:
        loop = asyncio.get_running_loop()

        async def one(ticket: Ticket[JobT, ResultT], outcome: OutcomeT) -> None:
            try:
                result = await loop.run_in_executor(self._finishers, self._finish, ticket.job, outcome)
            except Exception as error:
                _fail(ticket, error)
            else:
                if not ticket.future.done():
                    ticket.future.set_result(result)

        error = RuntimeError(f"{len(outcomes)} outcomes for {len(batch)} jobs")
        try:
            await asyncio.gather(*(one(ticket, outcome) for ticket, outcome in zip(batch, outcomes, strict=False)))
        finally:
            self._put_down(batch, error)

    def _put_down(self, batch: list[Ticket[JobT, ResultT]], error: Exception) -> None:
        """The batch is over: `error` for those that have no result by now."""
        for ticket in batch:
            _fail(ticket, error)
        self._taken.difference_update(batch)
        self._in_hand.release()


def _fail(ticket: Ticket[JobT, ResultT], error: Exception) -> None:
    if not ticket.future.done():
        ticket.future.set_exception(error)
