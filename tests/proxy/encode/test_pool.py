import asyncio
import os
import signal
import time

import pytest
from PIL import Image
from skimage import data as samples

from proxy.encode import Declined, Encoded, EncodeRequest
from proxy.encode.pictures import avif_file
from proxy.encode.pool import EncoderPool
from proxy.policy import Reason


@pytest.fixture(scope="module")
def photo() -> bytes:
    return avif_file(samples.coffee(), 60)


async def test_images_are_encoded_side_by_side(photo: bytes) -> None:
    async with EncoderPool(workers=2, deadline_s=60) as pool:
        answers = await asyncio.gather(*(pool.encode(EncodeRequest(photo)) for _ in range(4)))
    assert all(isinstance(answer, Encoded) for answer in answers)
    assert len({answer.body for answer in answers if isinstance(answer, Encoded)}) == 1


async def test_a_late_image_is_declined_and_the_next_one_is_not(photo: bytes) -> None:
    async with EncoderPool(workers=1, deadline_s=60) as pool:
        assert isinstance(await pool.encode(EncodeRequest(photo)), Encoded)
        pool._deadline_s = 0.001
        late = await pool.encode(EncodeRequest(photo))
        pool._deadline_s = 60
        assert isinstance(late, Declined) and late.reason is Reason.DEADLINE
        assert isinstance(await pool.encode(EncodeRequest(photo)), Encoded)


async def test_a_full_queue_declines_at_once(photo: bytes) -> None:
    async with EncoderPool(workers=1, deadline_s=60, queue=1) as pool:
        answers = await asyncio.gather(*(pool.encode(EncodeRequest(photo)) for _ in range(4)))
    assert [isinstance(answer, Encoded) for answer in answers] == [True, True, False, False]
    assert all(answer.reason is Reason.BUSY for answer in answers if isinstance(answer, Declined))


async def test_a_killed_process_is_replaced(photo: bytes) -> None:
    async with EncoderPool(workers=1, deadline_s=60) as pool:
        assert isinstance(await pool.encode(EncodeRequest(photo)), Encoded)
        process = pool._workers[0]._process
        assert process is not None
        under_way = asyncio.create_task(pool.encode(EncodeRequest(photo)))
        await asyncio.sleep(0)
        os.kill(process.pid, signal.SIGKILL)
        answer = await under_way
        assert isinstance(answer, Declined) and answer.reason is Reason.CRASHED
        assert isinstance(await pool.encode(EncodeRequest(photo)), Encoded)


async def test_a_cancelled_request_leaves_the_pool_usable(photo: bytes) -> None:
    async with EncoderPool(workers=1, deadline_s=60) as pool:
        under_way = asyncio.create_task(pool.encode(EncodeRequest(photo)))
        await asyncio.sleep(0.05)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
        assert isinstance(await pool.encode(EncodeRequest(photo)), Encoded)


async def test_memory_is_capped(photo: bytes) -> None:
    large = Image.new("L", (30_000, 20_000))
    path = f"/proc/{os.getpid()}/fd"
    assert os.path.isdir(path)
    import io

    out = io.BytesIO()
    large.save(out, "PNG")
    async with EncoderPool(workers=1, deadline_s=60, memory_mib=256) as pool:
        answer = await pool.encode(EncodeRequest(out.getvalue(), mode="thumbnail", max_pixels=10**9))
        assert isinstance(answer, Declined)
        assert answer.reason in (Reason.TOO_MANY_PIXELS, Reason.CRASHED, Reason.BROKEN)
        assert isinstance(await pool.encode(EncodeRequest(photo)), Encoded)


async def test_the_event_loop_stays_free_while_encoding(photo: bytes) -> None:
    async with EncoderPool(workers=1, deadline_s=60) as pool:
        under_way = asyncio.create_task(pool.encode(EncodeRequest(photo)))
        longest, last = 0.0, time.monotonic()
        while not under_way.done():
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert longest < 1.0
