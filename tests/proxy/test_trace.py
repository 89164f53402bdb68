from __future__ import annotations

from proxy.ledger import Row
from proxy.trace import image_line


def test_one_line_with_what_is_known() -> None:
    row = Row(time_s=1.0, role="upstream", decision="skipped", reason="no-gain", origin_bytes=5, total_ms=1.25)
    line = image_line(row, {"open": 1.0, "measure": 2.54})
    assert line == (
        "image role=upstream decision=skipped reason=no-gain origin_bytes=5 link_bytes=0 total_ms=1.2 "
        "stages=open:1.0,measure:2.5"
    )
    assert "\n" not in line
