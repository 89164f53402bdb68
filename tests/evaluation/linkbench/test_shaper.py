"""The thin link itself, over real sockets in this process."""

from __future__ import annotations

import asyncio
import random

import pytest

from evaluation.linkbench.shaper import Direction, Shaper

DATA = random.Random(2).randbytes(120_000)


@pytest.mark.parametrize("loss", [0.0, 0.1])
async def test_all_bytes_pass_in_both_directions_and_are_counted(loss: float) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    ways = [Direction(0.002, 1_000_000.0, loss) for _ in range(2)]
    shaper = Shaper("127.0.0.1", server.sockets[0].getsockname()[1], *ways)
    listening = await asyncio.get_running_loop().create_server(shaper.accept, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
    writer.write(DATA)
    came = await asyncio.wait_for(reader.readexactly(len(DATA)), 20)
    writer.close()
    assert came == DATA
    assert [way.passed_bytes for way in ways] == [len(DATA)] * 2
    busy_s = sum(ends_s - begins_s for begins_s, ends_s in ways[1].busy)
    assert busy_s >= 0.99 * len(DATA) / 1_000_000
    listening.close()
    server.close()
