"""Encoding in processes of their own, with a deadline for each image.

In: `EncodeRequest`s from one event loop. Out: `Encoded` or `Declined`; `encode` never raises for what an image does.
Refuses (as `Declined`): BUSY when the queue is full, DEADLINE when an image takes too long (its process is killed and
replaced), CRASHED when the process dies or cannot be started.

A sync call in a proxy's hook would block every flow, and a thread cannot be stopped; a process can.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import sys
from types import TracebackType
from typing import Self

from proxy.encode.request import Declined, Encoded, EncodeRequest
from proxy.encode.worker import LENGTH_BYTES
from proxy.policy import Reason

log = logging.getLogger(__name__)


class EncoderPool:
    """`workers` processes, each doing one image at a time; use as an async context manager."""

    def __init__(self, workers: int = 2, deadline_s: float = 4.0, memory_mib: int = 1024, queue: int = 32) -> None:
        self._deadline_s, self._memory_mib = deadline_s, memory_mib
        self._room = workers + queue
        self._inside = 0
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        self._workers = [_Worker(memory_mib) for _ in range(workers)]
        for worker in self._workers:
            self._idle.put_nowait(worker)

    async def __aenter__(self) -> Self:
        """Start the processes, so that the first image need not wait for them."""
        await asyncio.gather(*(worker.start() for worker in self._workers))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop every process; requests under way end as CRASHED."""
        await asyncio.gather(*(worker.stop() for worker in self._workers))

    async def encode(self, request: EncodeRequest) -> Encoded | Declined:
        """The answer to `request`, at the latest after the deadline, waiting included."""
        if self._inside >= self._room:
            return Declined(Reason.BUSY, f"{self._inside} images under way")
        self._inside += 1
        try:
            async with asyncio.timeout(self._deadline_s):
                worker = await self._idle.get()
                return await self._ask(worker, request)
        except TimeoutError:
            return Declined(Reason.DEADLINE, f"not encoded within {self._deadline_s:g} s")
        finally:
            self._inside -= 1

    async def _ask(self, worker: _Worker, request: EncodeRequest) -> Encoded | Declined:
        answered = False
        try:
            answer = await worker.ask(request)
            answered = True
            return answer
        except (OSError, asyncio.IncompleteReadError, pickle.UnpicklingError, EOFError) as error:
            log.warning("an encoding process died: %s", error or type(error).__name__)
            return Declined(Reason.CRASHED, "the encoding process died")
        finally:
            if not answered:  # dead, late or its caller gone: what it would still say belongs to nobody
                await asyncio.shield(worker.stop())
            self._idle.put_nowait(worker)


class _Worker:
    """One encoding process, started when first asked."""

    def __init__(self, memory_mib: int) -> None:
        self._memory_mib = memory_mib
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "proxy.encode.worker",
                str(self._memory_mib),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        return self._process

    async def ask(self, request: EncodeRequest) -> Encoded | Declined:
        """The process's answer. Raises OSError or IncompleteReadError when it dies."""
        process = await self.start()
        assert process.stdin is not None and process.stdout is not None
        message = pickle.dumps(request)
        process.stdin.write(len(message).to_bytes(LENGTH_BYTES, "big") + message)
        await process.stdin.drain()
        length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
        answer = pickle.loads(await process.stdout.readexactly(length))
        assert isinstance(answer, Encoded | Declined)
        return answer

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
