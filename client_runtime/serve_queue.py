"""A queue whose batches Ray Serve makes: what waits, what is drawn together, what is late.

In: jobs with deadlines, inside a copy of the runtime on Ray Serve. Out: results, in tickets. Refuses: jobs beyond the
queue's size (`QueueFull`), and all once it closes (`Draining`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

from client_runtime.service.batch import BATCHES_IN_HAND, DeadlinePassed, Draining, Limits, QueueFull, Ticket
from client_runtime.service.draw import Outcome
from client_runtime.service.work import Job, Result

Drawn = tuple[Outcome, float]


class ServeQueue:
    """A `service.work.Queue` whose batches are made by `serve.batch`."""

    def __init__(
        self,
        draw: Callable[[Sequence[Job]], Sequence[Drawn]],
        finish: Callable[[Job, Drawn], Result],
        limits: Limits,
        worker: Executor,
        finishers: Executor,
    ) -> None:
        self._draw, self._finish, self._limits = draw, finish, limits
        self._worker, self._finishers = worker, finishers
        self._under_way: dict[asyncio.Task[None], Ticket[Job, Result]] = {}
        self._closing = False
        self.batches = self.largest_batch = 0

    @property
    def waiting(self) -> int:
        """Jobs that wait and whose clients still do."""
        return sum(t.started_s is None and not t.future.done() for t in self._under_way.values())

    def start(self) -> None:
        """Wrap the batch function; needs a running event loop."""
        from ray import serve

        limits = self._limits
        self._batched: Any = serve.batch(
            max_batch_size=limits.batch_size,
            batch_wait_timeout_s=limits.batch_wait_s,
            max_concurrent_batches=BATCHES_IN_HAND,
        )(self._run)

    def submit(self, job: Job, deadline_s: float, weight: int = 1) -> Ticket[Job, Result]:
        """Queue `job`. `deadline_s` is a time of the event loop's clock. Raises QueueFull or Draining."""
        if self._closing:
            raise Draining
        if self.waiting >= self._limits.queue_size:
            raise QueueFull
        loop = asyncio.get_running_loop()
        ticket: Ticket[Job, Result] = Ticket(job, deadline_s, weight, loop.time(), loop.create_future())
        task = asyncio.create_task(self._wait(ticket))
        self._under_way[task] = ticket
        task.add_done_callback(self._under_way.pop)
        return ticket

    async def close(self, limit_s: float) -> bool:
        """Take nothing new, do what waits for at most `limit_s`, drop the rest. True when nothing was dropped."""
        self._closing = True
        if not self._under_way:
            return True
        _, late = await asyncio.wait(set(self._under_way), timeout=limit_s)
        for task in late:
            _fail(self._under_way[task], Draining())
            task.cancel()
        return not late

    async def _wait(self, ticket: Ticket[Job, Result]) -> None:
        try:
            await self._batched(ticket)
        except Exception as error:
            _fail(ticket, error)

    async def _run(self, tickets: list[Ticket[Job, Result]]) -> list[None]:
        """One batch: those still wanted are drawn in the engine's thread, in parts that fit into its memory."""
        loop = asyncio.get_running_loop()
        for part in _parts(tickets, self._limits.batch_weight):
            now_s, wanted = loop.time(), []
            for ticket in part:
                if ticket.future.done() or ticket.deadline_s <= now_s:
                    _fail(ticket, DeadlinePassed())
                else:
                    ticket.started_s = now_s
                    wanted.append(ticket)
            if not wanted:
                continue
            self.batches += 1
            self.largest_batch = max(self.largest_batch, len(wanted))
            try:
                drawn = await loop.run_in_executor(self._worker, self._draw, [ticket.job for ticket in wanted])
                await asyncio.gather(*(self._end(t, d) for t, d in zip(wanted, drawn, strict=True)))
            except Exception as error:  # costs its own batch, not the queue
                for ticket in wanted:
                    _fail(ticket, error)
        return [None] * len(tickets)

    async def _end(self, ticket: Ticket[Job, Result], drawn: Drawn) -> None:
        result = await asyncio.get_running_loop().run_in_executor(self._finishers, self._finish, ticket.job, drawn)
        if not ticket.future.done():
            ticket.future.set_result(result)


def _parts(tickets: Sequence[Ticket[Job, Result]], most_weight: int) -> list[list[Ticket[Job, Result]]]:
    """`tickets` in order, cut where a part would weigh too much; a part has at least one."""
    parts: list[list[Ticket[Job, Result]]] = []
    weight = 0
    for ticket in tickets:
        weight += ticket.weight
        if not parts or weight > most_weight:
            parts.append([])
            weight = ticket.weight
        parts[-1].append(ticket)
    return parts


def _fail(ticket: Ticket[Job, Result], error: Exception) -> None:
    if not ticket.future.done():
        ticket.future.set_exception(error)
