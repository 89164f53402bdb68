"""What Ray Serve's queue does without Ray: the cutting of batches by their weight."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from client_runtime.serve_queue import _parts
from client_runtime.service.batch import Ticket


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([], []),
        ([1, 2, 3], [[1, 2, 3]]),
        ([4, 4, 4], [[4, 4], [4]]),
        ([99, 1], [[99], [1]]),
        ([1, 99, 1], [[1], [99], [1]]),
    ],
)
async def test_a_part_weighs_no_more_than_it_may_unless_it_is_one(
    weights: list[int], expected: list[list[int]]
) -> None:
    loop = asyncio.get_running_loop()
    tickets: list[Ticket[Any, Any]] = [Ticket(None, 0.0, weight, 0.0, loop.create_future()) for weight in weights]
    assert [[ticket.weight for ticket in part] for part in _parts(tickets, 8)] == expected
