"""A ledger with a fortnight of an imaginary village's browsing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from proxy.ledger import Ledger
from tests.proxy.report.synthetic import week

NOW_S = time.time()


@pytest.fixture(scope="session")
def village(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("village") / "ledger.sqlite"
    ledger = Ledger(path, queue_rows=10_000, domains=True)
    for row in week(1_500, NOW_S, days=14.0):
        ledger.record(row)
    ledger.close(60)
    assert ledger.dropped == 0
    return path
