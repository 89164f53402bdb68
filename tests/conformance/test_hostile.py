"""Hundreds of hostile and odd images through the live pair: nothing falls over, nothing that was whole is broken."""

from __future__ import annotations

import asyncio
import io
import re
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.conformance import hostile
from tests.conformance.hostile import Odd, corpus
from tests.conformance.origin import raw
from tests.conformance.rules.pictures import bomb
from tests.conformance.stand import Stand, pair
from tests.conformance.wire import Answer

AT_ONCE = 4
MIB = 1024 * 1024
PROXY_PEAK_BYTES = 600 * MIB
WORKER_PEAK_BYTES = 1200 * MIB  # with its detectors, whose networks are in memory
Seen = tuple[tuple[int, int], int]  # the upright size, and the frames


def seen_as(data: bytes) -> Seen | None:
    """What a browser would show of a file; None if it shows nothing or only a part."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as image:
                frames = getattr(image, "n_frames", 1)
                turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                image.load()
                return (image.size[::-1] if turned else image.size), frames
        except Exception:  # decoders raise many types
            return None


def peak_bytes(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def family(stand: Stand) -> dict[str, list[psutil.Process]]:
    processes = [psutil.Process(process.popen.pid) for process in stand.processes]
    return {"upstream": [processes[0]], "downstream": [processes[1]], "encoders": processes[0].children(recursive=True)}


async def through(stand: Stand, odd: Odd) -> tuple[Odd, Answer]:
    got = await stand.ask(raw(200, (("Content-Type", odd.media_type),), odd.data))
    return odd, got.answer


async def all_through(stand: Stand, odds: Sequence[Odd]) -> list[tuple[Odd, Answer]]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(odd: Odd) -> tuple[Odd, Answer]:
        async with room:
            return await through(stand, odd)

    return list(await asyncio.gather(*(one(odd) for odd in odds)))


def why_broken(odd: Odd, answer: Answer) -> str:
    """What is wrong with what the browser got, or nothing."""
    if answer.status != 200 or not answer.whole:
        return f"status {answer.status}, whole: {answer.whole}"
    if answer.body == odd.data:
        return ""
    before, after = seen_as(odd.data), seen_as(answer.body)
    if before is None:
        return "" if after is not None else "it was broken, and was changed to something broken"
    return "" if before == after else f"{before} became {after} ({answer.type})"


@pytest.mark.timeout(400)
async def test_nothing_falls_over_and_nothing_whole_is_broken(tmp_path: Path) -> None:
    odds = list(corpus())
    assert len(odds) >= 300 and len({odd.name for odd in odds}) == len(odds)
    async with pair(tmp_path, min_image_bytes=64) as stand:
        await stand.ask(raw(200, (("Content-Type", "image/png"),), odds[0].data))
        before = {name: [process.pid for process in group] for name, group in family(stand).items()}
        answers = await all_through(stand, odds)
        after = {name: [process.pid for process in group] for name, group in family(stand).items()}
        peaks = {name: max(peak_bytes(pid) for pid in pids) for name, pids in after.items()}
        logs = [process.log.read_text() for process in stand.processes]
    broken = {odd.name: why for odd, answer in answers if (why := why_broken(odd, answer))}
    changed = sum(answer.body != odd.data for odd, answer in answers)
    print(f"{len(odds)} images, {changed} changed, peaks { ({name: peak // MIB for name, peak in peaks.items()}) } MiB")
    assert broken == {}
    assert changed > 100, "hardly anything was tried"
    assert after == before, "a process died, or was replaced"
    for log in logs:
        assert not re.search(r"defect|Traceback|died|does not start|Unexpected", log), log[-3000:]
    assert peaks["upstream"] < PROXY_PEAK_BYTES and peaks["downstream"] < PROXY_PEAK_BYTES, peaks
    assert peaks["encoders"] < WORKER_PEAK_BYTES, peaks


async def test_the_bomb_passes_within_a_second(tmp_path: Path) -> None:
    odd, seconds = Odd("bomb", "image/png", bomb()), []
    async with pair(tmp_path) as stand:
        for _ in range(3):
            began = time.monotonic()
            _, answer = await through(stand, odd)
            seconds.append(time.monotonic() - began)
            assert answer.body == odd.data
        peaks = [peak_bytes(process.pid) for group in family(stand).values() for process in group]
    assert min(seconds) < 1.0, seconds
    assert max(peaks) < WORKER_PEAK_BYTES, [peak // MIB for peak in peaks]


def test_a_broken_image_is_seen() -> None:
    odds = {odd.name: odd for odd in hostile.unusual()}
    whole, small = odds["jpeg of mode RGB, 4:4:4"], odds["jpeg of 7×7 px"]
    assert why_broken(whole, Answer("", 200, (), whole.data)) == ""
    assert why_broken(whole, Answer("", 200, (), whole.data[:700])) != ""
    assert why_broken(whole, Answer("", 200, (), small.data)) != ""
    assert why_broken(whole, Answer("", 502, (), whole.data)) != ""
