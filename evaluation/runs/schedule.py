"""Does one job for every image: what the store has is not done again, what fails is listed and not fatal.

In: items, a function of one item and a plan, a store. Out: an `Outcome` per item, in their order.
Refuses nothing: an image that raises, or that takes its process down with it, has an error instead of a record.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.runs.store import Record, Store, key
from evaluation.sets.folder import Item

SMALL_MACHINE_CORES = 4
Job = Callable[[Item, Any], Record]


@dataclass(frozen=True, slots=True)
class Outcome:
    """An item with its record, or with what went wrong."""

    item: Item
    record: Record | None
    error: str = ""


def default_workers() -> int:
    """One process on small machines, where the libraries' own threads fill the cores, else half as many as cores."""
    cores = os.cpu_count() or 1
    return 1 if cores <= SMALL_MACHINE_CORES else cores // 2


def run(
    items: Sequence[Item], job: Job, plan: Any, version: str, store: Store, workers: int, tick: Callable[[Item], None]
) -> list[Outcome]:
    """All outcomes; `tick` is called once per item. `plan` is a dataclass, and part of the key with `version`."""
    terms = json.dumps(asdict(plan), default=str, sort_keys=True)
    outcomes: dict[Item, Outcome] = {}
    keys: dict[Item, str] = {}
    for item in items:
        try:
            keys[item] = key(item.digest(), terms, version)
        except OSError as unreadable:
            outcomes[item] = Outcome(item, None, f"cannot be read: {unreadable}")
            tick(item)
            continue
        known = store.get(keys[item])
        if known is not None:
            outcomes[item] = Outcome(item, known)
            tick(item)
    missing = [item for item in items if item not in outcomes]
    for item, record, error in _serial(missing, job, plan) if workers == 1 else _parallel(missing, job, plan, workers):
        stored = None if record is None else store.put(keys[item], item.name, record)
        outcomes[item] = Outcome(item, stored, error)
        tick(item)
    return [outcomes[item] for item in items]


_Done = tuple[Item, Record | None, str]


def _serial(items: Sequence[Item], job: Job, plan: Any) -> Iterator[_Done]:
    for item in items:
        yield _one(item, job, plan)


def _parallel(items: Sequence[Item], job: Job, plan: Any, workers: int) -> Iterator[_Done]:
    """In `workers` processes; when one dies, what was under way is tried again, each item in a process of its own."""
    left = dict.fromkeys(items)
    try:
        for done in _in_pool(items, job, plan, workers):
            left.pop(done[0])
            yield done
    except BrokenProcessPool:
        for item in left:
            try:
                yield from _in_pool([item], job, plan, 1)
            except BrokenProcessPool:
                yield item, None, "its process died: out of memory, or a crash in a decoder"


def _in_pool(items: Sequence[Item], job: Job, plan: Any, workers: int) -> Iterator[_Done]:
    context = multiprocessing.get_context("spawn")  # a forked child of a process with threads can hang
    pool = ProcessPoolExecutor(workers, context, _prepare, (workers,))
    try:
        futures: list[Future[_Done]] = [pool.submit(_one, item, job, plan) for item in items]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(workers: int) -> None:
    """Share the cores: the libraries read this when they are loaded."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


def _one(item: Item, job: Job, plan: Any) -> _Done:
    try:
        return item, job(item, plan), ""
    except Exception as error:  # a broken image must not end the run, whatever it raises
        return item, None, f"{type(error).__name__}: {error}"
