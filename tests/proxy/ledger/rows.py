"""Rows for tests."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any
from unittest import mock

from proxy.ledger import Ledger, Place, Row, writer

ADA, BOB = "a" * 16, "b" * 16


def now_s() -> float:
    """The time, to the millisecond, as the ledger keeps it."""
    return round(time.time() * 1000) / 1000


def row(**changes: Any) -> Row:
    """A bundle that became a picture, with changes."""
    full = Row(
        time_s=now_s(),
        role="downstream",
        decision="reconstructed",
        content_type="image/jpeg",
        mode="thumbnail",
        engine="sketch@0123abcd",
        kind="photo",
        subscriber=ADA,
        width_px=640,
        height_px=480,
        origin_bytes=50_000,
        link_bytes=1_500,
        link_up_bytes=400,
        delivered_bytes=30_000,
        encode_ms=100.0,
        total_ms=400.0,
    )
    return replace(full, **changes)


def filled(place: Place, *rows: Row, **options: Any) -> Place:
    """A ledger with these rows, none of them added to the sums yet."""
    with mock.patch.object(writer, "maintain", return_value=False):
        ledger = Ledger(place, **{"queue_rows": 100_000} | options)
        for each in rows:
            ledger.record(each)
        ledger.close(60)
    assert ledger.dropped == 0
    return place
