"""Pictures and pairs for tests."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from proxy.gallery.shelf import Facts, Pair

NOW_S = 1_790_000_000.0


def picture(width_px: int = 640, height_px: int = 480, form: str = "JPEG", shift: int = 0, **options: Any) -> bytes:
    """A file of a picture with colours that change across it."""
    across = np.linspace(0, 255, width_px)[None, :].repeat(height_px, 0)
    down = np.linspace(0, 255, height_px)[:, None].repeat(width_px, 1)
    rgb = np.stack([across, down, np.full_like(across, (60 + shift) % 256)], 2).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, form, **options)
    return out.getvalue()


def pair(quality: float, time_s: float = NOW_S, sent: bytes | None = None, **facts: Any) -> Pair:
    """A pair of this quality, each its own picture."""
    sent = picture(80, 60, "WEBP", round(quality * 200)) + b"" if sent is None else sent
    known: dict[str, Any] = {"media_type": "image/webp", "width_px": 640, "height_px": 480, "kind": "photo"} | facts
    known |= {"origin_bytes": 50_000, "sent_bytes": len(sent)}
    return Pair(Facts(time_s, quality, **known), picture(80, 60, "WEBP"), sent)
