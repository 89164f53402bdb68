"""Rows of an imaginary village's week, the same every time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from proxy.ledger import Row

DAY_S = 86_400
WEIGHTS = {"image/jpeg": 40, "image/png": 14, "image/webp": 10, "text/html": 10, "text/css": 6, "text/javascript": 14,
           "application/json": 8, "video/mp4": 1}  # fmt: skip
SITES = ("daily-news.org", "weather.example", "market.example", "school.org", "village-forum.net", "clinic.example")


def week(count: int, now_s: float, days: float = 7.0, people: int = 12) -> Iterator[Row]:
    """`count` rows, in the order of their time, the last one now; images of downstream have no quality, as in life."""
    dice = random.Random(7)
    for number in range(count):
        kind = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        image = kind.startswith("image/")
        origin = int(dice.lognormvariate(10.6 if image else 9.2, 1.0)) * (30 if kind == "video/mp4" else 1)
        fate = dice.random() if image else 1.0
        time_s = now_s - (count - 1 - number) * days * DAY_S / count
        common: dict[str, Any] = {
            "time_s": time_s,
            "role": "downstream",
            "image": image,
            "content_type": kind,
            "origin_bytes": origin,
            "delivered_bytes": origin,
            "link_up_bytes": 350,
            "subscriber": f"{int(dice.paretovariate(1.2)) % people + 0xA0:016x}",
            "domain": dice.choices(SITES, (30, 20, 15, 10, 6, 2))[0],
            "total_ms": dice.lognormvariate(6.3, 0.6),
        }
        if fate < 0.62:
            yield Row(
                decision="reconstructed", mode=dice.choice(("thumbnail", "thumbnail", "salient", "edges+palette")),
                engine="sketch@0123abcd", kind="photo", link_bytes=int(dice.lognormvariate(7.4, 0.4)),
                encode_ms=dice.lognormvariate(5.6, 0.5), link_ms=dice.lognormvariate(6.0, 0.5),
                queue_ms=dice.lognormvariate(1.5, 1.0), reconstruct_ms=dice.lognormvariate(5.2, 0.4),
                cache_hit=dice.random() < 0.2, **common,
            )  # fmt: skip
        elif fate < 0.72:
            yield Row(
                decision="recoded", mode="classical", kind="graphic", link_bytes=origin // 3 + 400,
                encode_ms=dice.lognormvariate(5.6, 0.5), link_ms=dice.lognormvariate(6.2, 0.5), **common,
            )  # fmt: skip
        elif fate < 0.74:
            yield Row(
                decision="original", reason="deadline", link_bytes=1_900, refetch_bytes=origin + 500, refetches=1,
                link_ms=dice.lognormvariate(6.6, 0.5), **common,
            )  # fmt: skip
        elif image:
            reason = dice.choices(("too-small", "kind", "no-gain", "svg", "private"), (5, 4, 3, 2, 1))[0]
            link_ms = (origin * 8 / 700_000) * 1000 + dice.lognormvariate(6.0, 0.3)
            yield Row(decision="skipped", reason=reason, link_bytes=origin + 420, link_ms=link_ms, **common)
        else:
            link_ms = (origin * 8 / 700_000) * 1000 + dice.lognormvariate(6.0, 0.3)
            yield Row(decision="passed", link_bytes=origin // 2 + 420, link_ms=link_ms, **common)
        if fate < 0.72:
            quality = min(dice.betavariate(14, 1.8), 1.0)
            yield Row(
                time_s=time_s, role="upstream", decision="reconstructed" if fate < 0.62 else "recoded",
                mode="thumbnail", content_type=kind, kind="photo", width_px=640, height_px=480,
                origin_bytes=origin, link_bytes=1_500, delivered_bytes=1_100, encode_ms=250.0, quality=quality,
            )  # fmt: skip
