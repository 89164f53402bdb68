"""The one log line that tells what happened to an image.

In: a ledger row, and the milliseconds of the encoder's stages. Out: a line of key=value pairs, empty ones left out.
Refuses: addresses; there is no field for them, and free text never gets here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from proxy.ledger import Row

_LEFT_OUT = ("time_s", "image", "subscriber", "domain")  # who and where stay out of logs


def image_line(row: Row, stage_ms: Mapping[str, float] | None = None) -> str:
    """The canonical line for `row`, e.g. `image role=upstream decision=skipped reason=no-gain origin_bytes=51234`."""
    parts = ["image"]
    for name, value in asdict(row).items():
        if name in _LEFT_OUT or value is None or value == "" or value is False or (value == 0 and name != "link_bytes"):
            continue
        parts.append(f"{name}={value:.1f}" if isinstance(value, float) else f"{name}={value}")
    if stage_ms:
        parts.append("stages=" + ",".join(f"{stage}:{spent:.1f}" for stage, spent in stage_ms.items()))
    return " ".join(parts)
