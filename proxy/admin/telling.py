"""What the dashboard tells, as short texts and rows of cells, each under the id of its place in the page.

In: `Now`, the last day's totals, the states of the proxy's parts. Out: `Told`. Refuses nothing.

The page is first made from these on the server, so it needs no script; later only what changed is sent, so that a
watched dashboard costs a thin link some hundred bytes every few seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.admin.live import STEP_S, STEPS, Now
from proxy.ledger.answers import Totals
from proxy.report import words
from proxy.report.numbers import DASH, duration, milliseconds, percent, size

Cells = list[list[str]]
Told = dict[str, str | Cells]
BARS, HEIGHT = 30, 40  # of two minutes each; in units of the drawing
FEW = 6


def told(now: Now, day: Totals | None, parts: Sequence[tuple[str, str]]) -> Told:
    """Everything, by id."""
    shown = now.since_start
    before, after = _bars(now)
    return {
        "saved": percent(shown.saved_percent),
        "bytes": _bytes(shown),
        "minute": f"{now.minute.responses:,}",
        "minute-bytes": _bytes(now.minute),
        "hour": percent(now.hour.saved_percent),
        "hour-bytes": _bytes(now.hour),
        "day": DASH if day is None else percent(day.saved_percent),
        "day-bytes": "not read yet" if day is None else _bytes(day),
        "failures": f"{now.failures_hour:,}",
        "failures-all": f"{sum(count for _, count in now.failures):,} since the start",
        "up": duration(max(now.now_s - now.started_s, 0) // 60 * 60) if now.now_s - now.started_s >= 60 else "< 1 min",
        "hour-sent": f"{size(now.hour.origin_bytes)} sent by sites, {size(_crossed(now.hour))} across the link",
        "before": before,
        "after": after,
        "parts": [[name, state] for name, state in (*parts, *_waits(now))],
        "decided": [[words.decision(code), f"{count:,}"] for code, count in now.decisions[:FEW]]
        or [["nothing yet", ""]],
        "failed": [[words.REASONS.get(code, words.decision(code)), f"{count:,}"] for code, count in now.failures[:FEW]]
        or [["none", "0"]],
        "recent": [
            [words.why(r.decision, r.reason), r.content_type or DASH, size(r.origin_bytes), size(r.crossed_bytes)]
            for r in now.recent
        ]
        or [["nothing yet", DASH, DASH, DASH]],
    }


def changed(known: Told, now: Told) -> Told:
    """What is new since `known`."""
    return {name: value for name, value in now.items() if known.get(name) != value}


def _bytes(totals: Totals) -> str:
    if not totals.origin_bytes and not _crossed(totals):
        return "nothing yet"
    return f"{size(_crossed(totals))} instead of {size(totals.origin_bytes)}"


def _crossed(totals: Totals) -> int:
    return totals.link_bytes + totals.refetch_bytes


def _waits(now: Now) -> list[tuple[str, str]]:
    waits = (("waiting to be drawn, median", now.queue_ms), ("drawing, median", now.draw_ms))
    return [(name, milliseconds(value)) for name, value in waits if value is not None]


def _bars(now: Now) -> tuple[str, str]:
    """Two SVG paths, bars of what sites sent and of what crossed the link in the last hour."""
    span = STEPS // BARS
    last = int(now.now_s // STEP_S) // span
    sent, crossed = [0] * BARS, [0] * BARS
    for step in now.steps:
        place = BARS - 1 - (last - step.number // span)
        if 0 <= place < BARS:
            sent[place] += step.totals.origin_bytes
            crossed[place] += _crossed(step.totals)
    top = max(*sent, *crossed, 1)
    return _path(sent, top, 8), _path(crossed, top, 4)


def _path(values: Sequence[int], top: int, width: int) -> str:
    return "".join(
        f"M{place * 10 + (10 - width) // 2} {HEIGHT}v-{max(round(value * HEIGHT / top, 1), 0.5):g}h{width}V{HEIGHT}"
        for place, value in enumerate(values)
        if value
    )
