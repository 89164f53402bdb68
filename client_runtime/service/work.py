"""One bundle's way through the runtime: cache, queue, engine, image file.

In: an `Ask` and an unpacked bundle. Out: a `Finished` image file, or `Refused` or `Failed`. Refuses: what the queue
refuses (`QueueFull`, `Draining`, `DeadlinePassed`), and sizes over the limits (`BundleTooLarge`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from client_runtime import engines
from client_runtime.engines.base import Capabilities, Engine, EngineUnavailable, Task
from client_runtime.service.ask import Ask, Sharing, fitting
from client_runtime.service.batch import Batcher, Limits, Ticket
from client_runtime.service.cache import Cache, Entry, key_of
from client_runtime.service.draw import Drawn, Failed, Fallback, Outcome, Refused, draw
from client_runtime.shared.tiers import Draw, Found, Tiers
from proxy.bundle import Bundle, BundleTooLarge
from proxy.bundle.imagefile import encode_image
from proxy.bundle.provenance import provenance_of, xmp_packet
from proxy.config import RuntimeConfig

_FINISHERS = min(4, os.cpu_count() or 1)
_WAIT_SHARE = 0.5  # of a deadline, waited for at most while another machine draws the same picture
_RESERVE_S = 1.5  # of a deadline, at most a quarter of it, left for a lesser engine and the image file

_log = logging.getLogger("sketchwire.runtime")


@dataclass(frozen=True, slots=True)
class Job:
    """What the queue holds: the task, how to write its picture, and where to keep the file (None: nowhere)."""

    task: Task
    media_type: str
    quality: int
    key: str | None
    anybodys: bool = False  # made without words, so that other machines may have it


@dataclass(frozen=True, slots=True)
class Finished:
    """An image file. `reconstruct_ms` runs from the batch's start to the file; both times are 0 for a cache hit."""

    body: bytes
    media_type: str
    engine: str
    fallback: Fallback | None
    cache_hit: bool
    queue_ms: float = 0.0
    reconstruct_ms: float = 0.0


Result = Finished | Refused | Failed


class Queue(Protocol):
    """What stands between requests and the engine; `Batcher` is one."""

    @property
    def waiting(self) -> int: ...
    @property
    def batches(self) -> int: ...
    @property
    def largest_batch(self) -> int: ...

    def start(self) -> None:
        """Begin to work."""

    def submit(self, job: Job, deadline_s: float, weight: int = 1) -> Ticket[Job, Result]:
        """Queue a job. Raises QueueFull or Draining."""

    async def close(self, limit_s: float) -> bool:
        """Finish what waits; True when nothing was dropped."""


class MakeQueue(Protocol):
    """Makes a queue; `Batcher` is one."""

    def __call__(
        self,
        draw: Callable[[Sequence[Job]], Sequence[tuple[Outcome, float]]],
        finish: Callable[[Job, tuple[Outcome, float]], Result],
        limits: Limits,
        worker: Executor,
        finishers: Executor,
        /,
    ) -> Queue: ...


class Workshop:
    """The engine with its one thread, the queue before it, the cache beside it; `await start()` before all else."""

    def __init__(
        self, config: RuntimeConfig, make_engine: Callable[[], Engine], make_queue: MakeQueue = Batcher
    ) -> None:
        self._config, self._make_engine, self._make_queue = config, make_engine, make_queue
        self._worker = ThreadPoolExecutor(1, "sketchwire-engine")
        self._finishers = ThreadPoolExecutor(_FINISHERS, "sketchwire-finish")
        self._cache: Tiers | None = None
        self._reasons: Counter[str] = Counter()  # only the engine's thread counts
        self._drawing_since_s: float | None = None

    async def start(self) -> None:
        """Make the engines, in the thread they will live in, and open the cache. Raises EngineUnavailable."""
        loop = asyncio.get_running_loop()
        self._engines, self.missing = await loop.run_in_executor(self._worker, self._make_engines)
        self.capabilities: Capabilities = self._engines[0].capabilities()
        self.fallback: Capabilities | None = self._engines[1].capabilities() if len(self._engines) > 1 else None
        self._cache = await asyncio.to_thread(_open_cache, self._config)
        wait_s = self._config.batch_wait_ms / 1000
        at_once = min(self._config.batch_size, self.capabilities.together or self._config.batch_size)
        limits = Limits(self._config.queue_size, at_once, wait_s, self._config.max_pixels)
        self._batcher = self._make_queue(self._draw, self._finish, limits, self._worker, self._finishers)
        self._batcher.start()

    async def close(self, limit_s: float) -> bool:
        """Finish what is in hand, for at most `limit_s`. False when something was dropped, or the engine hangs."""
        loop = asyncio.get_running_loop()
        until = loop.time() + limit_s
        clean = await self._batcher.close(limit_s)
        if clean:
            try:
                async with asyncio.timeout(max(1.0, until - loop.time())):
                    await loop.run_in_executor(self._worker, self._close_engines)
            except Exception as error:  # TimeoutError among them; the process ends either way
                _log.warning("the engine did not close: %s: %s", type(error).__name__, error)
                clean = False
        self._worker.shutdown(wait=False, cancel_futures=True)
        self._finishers.shutdown(wait=False, cancel_futures=True)
        if self._cache is not None:
            self._cache.close()
        return clean

    async def make(self, ask: Ask, bundle: Bundle, data: bytes, deadline_s: float) -> Result:
        """The image file for `bundle`, which was unpacked from `data`, by `deadline_s` on the event loop's clock.

        Raises BadAsk, BundleTooLarge, QueueFull, Draining and DeadlinePassed.
        """
        check_size(bundle, self._config.max_pixels)
        media_type = fitting(ask.media_types, bundle.width_px, bundle.height_px)
        until_s = self._until(deadline_s, ask.deadline_s)
        task = Task(bundle, ask.prompt or (bundle.prompt.text if bundle.prompt else None), until_s)
        key, anybodys, draw_it = None, ask.sharing is Sharing.EVERYONE and task.prompt is None, Draw()
        if self._cache is not None and ask.sharing is not Sharing.NOBODY:
            fingerprint = f"{self.capabilities.engine}@{self.capabilities.fingerprint}"
            key = key_of(data, task.prompt, fingerprint, media_type, ask.quality, ask.client)
            found = await self._cache.find(key, anybodys, ask.deadline_s * _WAIT_SHARE)
            if isinstance(found, Found):
                entry = found.entry
                return Finished(entry.body, entry.media_type, entry.engine, None, cache_hit=True)
            draw_it = found
        job = Job(task, media_type, ask.quality, key, anybodys)
        try:
            ticket = self._batcher.submit(job, deadline_s, bundle.width_px * bundle.height_px)
            result = await ticket.future
        finally:
            if draw_it.lease is not None:
                with contextlib.suppress(RuntimeError):  # going down: the lock ends by itself
                    self._finishers.submit(draw_it.done)
        if isinstance(result, Finished) and ticket.started_s is not None:
            return replace(result, queue_ms=(ticket.started_s - ticket.submitted_s) * 1000)
        return result

    def stuck_s(self) -> float:
        """How long the engine has been drawing the batch it has in hand, in seconds."""
        since_s = self._drawing_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def state(self) -> dict[str, object]:
        """Sizes of the queue and the cache, for /healthz."""
        return {
            "queue": self._batcher.waiting,
            "batches": self._batcher.batches,
            "largest_batch": self._batcher.largest_batch,
            "cache": asdict(self._cache.local.state) if self._cache and self._cache.local else None,
            "shared_cache": asdict(self._cache.shared.state) if self._cache and self._cache.shared else None,
            "missing": asdict(self.missing) if self.missing is not None else None,
            "reasons": dict(self._reasons),
        }

    def _make_engines(self) -> tuple[list[Engine], engines.Missing | None]:
        """The engine, or the next one down when its weights are missing, and those that draw when it fails."""
        try:
            top, missing = self._make_engine(), None
        except EngineUnavailable as error:
            top, missing = engines.instead_of(self._config, error)
        return engines.ladder(top, self._config), missing

    def _close_engines(self) -> None:
        for engine in self._engines:
            engine.close()

    def _until(self, deadline_s: float, allowed_s: float) -> float:
        """When the first engine must be done, on the clock of `time.monotonic`."""
        left_s = deadline_s - asyncio.get_running_loop().time()
        reserve_s = min(_RESERVE_S, allowed_s / 4) if len(self._engines) > 1 else 0.0
        return time.monotonic() + left_s - reserve_s

    def _draw(self, jobs: Sequence[Job]) -> list[tuple[Outcome, float]]:
        began_s = self._drawing_since_s = time.monotonic()
        try:
            outcomes = draw(self._engines, [job.task for job in jobs])
        finally:
            self._drawing_since_s = None
        for outcome in outcomes:
            self._count(outcome)
        return [(outcome, began_s) for outcome in outcomes]

    def _count(self, outcome: Outcome) -> None:
        """Why the engine that was asked for did not draw it."""
        if isinstance(outcome, Drawn) and outcome.fallback is not None:
            self._reasons[outcome.fallback.value] += 1
        elif isinstance(outcome, Failed):
            self._reasons[outcome.reason] += 1
        if self.missing is not None:
            self._reasons[self.missing.reason.value] += 1

    def _finish(self, job: Job, drawn: tuple[Outcome, float]) -> Result:
        outcome, began_s = drawn
        if not isinstance(outcome, Drawn):
            return outcome
        told = xmp_packet(provenance_of(job.task.bundle, outcome.engine))
        body = encode_image(outcome.image, job.media_type, job.quality, told)
        if job.key is not None and self._cache is not None and outcome.fallback is None:
            self._cache.put(job.key, Entry(body, job.media_type, outcome.engine), job.anybodys)
        ms = (time.monotonic() - began_s) * 1000
        return Finished(body, job.media_type, outcome.engine, outcome.fallback, False, reconstruct_ms=ms)


def check_size(bundle: Bundle, max_pixels: int) -> None:
    """Raises BundleTooLarge when the picture, or all its crops together, would have more than `max_pixels`."""
    pixels = bundle.width_px * bundle.height_px
    if pixels > max_pixels:
        raise BundleTooLarge(f"a picture of {bundle.width_px}×{bundle.height_px} px; the limit is {max_pixels} px")
    crops = sum(r.width_px * r.height_px for r in bundle.salient.rectangles) if bundle.salient else 0
    if crops > max_pixels:
        raise BundleTooLarge(f"crops of {crops} px together; the limit is {max_pixels} px")


def _open_cache(config: RuntimeConfig) -> Tiers | None:
    local, shared = _open_local(config), None
    if config.shared_cache:
        try:
            from client_runtime.shared.store import SharedStore

            shared = SharedStore(
                config.shared_cache,
                config.shared_cache_ttl_s,
                config.shared_cache_entry_bytes,
                config.shared_cache_lock_s,
            )
        except (ImportError, ValueError) as error:
            _log.warning("the shared cache is not used: %s; pip install 'sketchwire[scale]'", error)
    return Tiers(local, shared) if local is not None or shared is not None else None


def _open_local(config: RuntimeConfig) -> Cache | None:
    if config.cache_bytes == 0:
        return None
    state = Path(config.state_dir).expanduser()
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Cache(state / "cache", config.cache_bytes)
    except OSError as error:
        _log.warning("reconstructions are not cached: %s: %s", state, error.strerror or error)
        return None
