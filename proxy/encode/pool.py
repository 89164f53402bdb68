"""Encoding in processes of their own, with a deadline for each image.

In: `EncodeRequest`s and `MeasureRequest`s from one event loop. Out: `Encoded`, `Measured` or `Declined`; neither
`encode` nor `measure` raises for what an image does.
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
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from proxy.config import DETECTORS
from proxy.encode.request import Declined, Encoded, EncodeRequest, Measured, MeasureRequest
from proxy.encode.worker import LENGTH_BYTES, READY
from proxy.policy import Reason

log = logging.getLogger(__name__)

_DIED = (OSError, asyncio.IncompleteReadError, pickle.UnpicklingError, EOFError)
Request = EncodeRequest | MeasureRequest
Answer = Encoded | Measured | Declined
START_LIMIT_S = 60.0
RETRY_S = 2.0


class EncoderPool:
    """`workers` processes, each doing one image at a time; use as an async context manager.

    Each loads the `detectors` before its first image, faces with `face_weights` if given.
    """

    def __init__(
        self,
        workers: int = 2,
        deadline_s: float = 4.0,
        memory_mib: int = 1024,
        queue: int = 32,
        detectors: Sequence[str] = DETECTORS,
        face_weights: str = "",
    ) -> None:
        self._deadline_s = deadline_s
        self._room = workers + queue
        self._inside = 0
        self._workers = [_Worker((str(memory_mib), ",".join(detectors), face_weights)) for _ in range(workers)]
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        self._starting: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Start the processes; returns at once, while they load their detectors."""
        for worker in self._workers:
            self._start(worker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop every process; requests under way end as CRASHED."""
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._workers))

    @property
    def free(self) -> int:
        """How many images could be begun at once."""
        return self._idle.qsize()

    async def encode(self, request: EncodeRequest) -> Encoded | Declined:
        """The answer to `request`, at the latest after the deadline, waiting included."""
        answer = await self._answer(request)
        assert isinstance(answer, Encoded | Declined)
        return answer

    async def measure(self, request: MeasureRequest) -> Measured | Declined:
        """What a picture is worth, at the latest after the deadline, waiting included."""
        answer = await self._answer(request)
        assert isinstance(answer, Measured | Declined)
        return answer

    async def _answer(self, request: Request) -> Answer:
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

    async def _ask(self, worker: _Worker, request: Request) -> Answer:
        answered = False
        try:
            answer = await worker.ask(request)
            answered = True
            return answer
        except _DIED as error:
            log.warning("an encoding process died: %s", error or type(error).__name__)
            return Declined(Reason.CRASHED, "the encoding process died")
        finally:
            if answered:
                self._idle.put_nowait(worker)
            else:  # dead, late or its caller gone: what it would still say belongs to nobody
                self._start(worker)

    def _start(self, worker: _Worker) -> None:
        """Replace the worker's process, outside of any request's deadline; it is idle once it is ready."""
        task = asyncio.get_running_loop().create_task(self._started(worker))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _started(self, worker: _Worker) -> None:
        while True:
            await worker.stop()
            try:
                async with asyncio.timeout(START_LIMIT_S):
                    await worker.start()
                break
            except (*_DIED, TimeoutError) as error:
                log.error("an encoding process does not start: %s", error or type(error).__name__)
                await asyncio.sleep(RETRY_S)
        self._idle.put_nowait(worker)


class _Worker:
    """One encoding process."""

    def __init__(self, arguments: tuple[str, ...]) -> None:
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process and wait until it is ready. Raises OSError or IncompleteReadError when it dies."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proxy.encode.worker",
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        await self._process.stdout.readexactly(len(READY))

    async def ask(self, request: Request) -> Answer:
        """The process's answer. Raises OSError or IncompleteReadError when it dies."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        message = pickle.dumps(request)
        process.stdin.write(len(message).to_bytes(LENGTH_BYTES, "big") + message)
        await process.stdin.drain()
        length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
        answer = pickle.loads(await process.stdout.readexactly(length))
        assert isinstance(answer, Encoded | Measured | Declined)
        return answer

    async def stop(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
