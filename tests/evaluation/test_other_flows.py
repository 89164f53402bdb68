from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.other_flows import Taken, measure, p95, photographs, report
from tests.e2e.origin import photo


def test_the_report_compares_both_states() -> None:
    taken = Taken([1.0] * 95 + [2.0] * 5, [2.0] * 90 + [4.0] * 10, {"image/avif": 3})
    assert p95(taken.quiet_ms) == 2.0 and p95([7.0]) == 7.0
    lines = report(taken)
    assert "median 1.0 ms, p95 2.0 ms" in lines[0] and "median 2.0 ms, p95 4.0 ms" in lines[1]
    assert lines[2] == "p95 2.00 times; images: image/avif 3"


def test_photographs_are_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no JPEG"):
        photographs(tmp_path, 3)


async def test_images_are_encoded_while_small_files_pass(tmp_path: Path) -> None:
    taken = await measure([photo(), photo("astronaut")], 1, 12, 1, tmp_path)
    assert len(taken.quiet_ms) == len(taken.busy_ms) == 12 and min(taken.quiet_ms) > 0
    assert sum(taken.images.values()) >= 2 and "image/jpeg" not in taken.images, taken.images
