"""What the dashboard learns from a proxy."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from mitmproxy.test import tflow

from addons.dashboard import Board
from proxy.ledger import Ledger, Row
from tests.proxy.ledger.rows import row


def states(told: dict[str, object]) -> dict[str, str]:
    parts = told["parts"]
    assert isinstance(parts, list)
    return {name: state for name, state in parts}


async def test_rows_flows_and_the_last_day(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.sqlite")
    ledger.record(row(time_s=time.time() - 7_200, origin_bytes=10_000, link_bytes=1_000))
    ledger.flush()
    board = Board("downstream", ledger, tmp_path / "l.sqlite")
    passed: list[Row] = []
    record = board.recording(passed.append)
    record(row())
    broken = row(origin_bytes="no number")
    record(broken)
    assert len(passed) == 2 and passed[1] is broken  # the ledger judges it
    board.watch("engine", lambda: "sketch")
    board.watch("broken", lambda: 1 // 0 or "")
    flow = tflow.tflow()
    board.requestheaders(flow)
    told = await board._tell()
    assert told["saved"] == "97.0 %" and told["day"] == "–"
    found = states(dict(told))
    assert (found["requests in progress"], found["engine"], found["broken"]) == ("1", "sketch", "not known")
    board.response(flow)
    async with asyncio.timeout(20):
        while (told := await board._tell())["day"] == "–":
            await asyncio.sleep(0.01)
    assert told["day"] == "90.0 %" and states(dict(told))["requests in progress"] == "0"
    ledger.close()


async def test_a_ledger_that_cannot_be_read_is_no_matter(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.sqlite")
    board = Board("upstream", ledger, tmp_path / "none.sqlite")
    await board._tell()
    assert board._reading is not None
    await board._reading
    assert (await board._tell())["day"] == "–"
    board.error(tflow.tflow())
    board.done()
    ledger.close()
