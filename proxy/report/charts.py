"""Charts as inline SVG, in the page's own colours, drawn by matplotlib.

In: points, groups, stages, a histogram. Out: `<svg>` elements that follow light and dark and are readable on a phone.
Refuses: to be there without matplotlib (`available`).

matplotlib draws with placeholder colours that are then replaced by the page's CSS variables; ids are made unique, so
that many charts fit in one page, and there is no date in them, so that the same figures give the same text.
"""

from __future__ import annotations

import html
import importlib.util
import io
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from proxy.ledger.answers import Point, Quality, Stage
from proxy.report import words
from proxy.report.numbers import milliseconds, size

INK, SOFT, LINE, BEFORE, AFTER, MARK = (f"#01020{number}" for number in range(6))
COLOURS = {
    INK: "var(--ink)", SOFT: "var(--soft)", LINE: "var(--line)", BEFORE: "var(--before)", AFTER: "var(--leaf)",
    MARK: "var(--mark)",
}  # fmt: skip
DAY_S = 86_400
WIDE_IN, NARROW_IN = 9.4, 4.5


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def over_time(name: str, title: str, points: Sequence[Point], step_s: int) -> str:
    """Bars per step: what the sites sent, and in front of it what crossed the link. Two sizes; the page shows one."""
    base = points[0].start_s

    def draw(plot: Any, ticks: int) -> None:
        places = [(point.start_s - base) / step_s for point in points]
        origin = [point.totals.origin_bytes for point in points]
        crossed = [point.totals.link_bytes + point.totals.refetch_bytes for point in points]
        plot.bar(places, origin, width=0.86, color=BEFORE, label="sites sent")
        plot.bar(places, crossed, width=0.5, color=AFTER, label="crossed the link")
        last = places[-1]
        every = max(1, round((last + 1) / ticks))
        marks = [place for place in range(0, int(last) + 1, every)]
        plot.set_xticks(marks, [_label(base + mark * step_s, step_s) for mark in marks])
        plot.set_xlim(-0.7, max(last, 4) + 0.7)
        _sizes(plot.yaxis)
        plot.grid(True, axis="y", linewidth=0.7)
        _legend(plot)

    wide = _svg(f"{name}-w", title, (WIDE_IN, 3.0), lambda plot: draw(plot, 10))
    narrow = _svg(f"{name}-n", title, (NARROW_IN, 3.0), lambda plot: draw(plot, 4))
    return f'<div class="if-wide">{wide}</div><div class="if-narrow">{narrow}</div>'


def before_after(name: str, title: str, groups: Sequence[tuple[str, int, int]]) -> str:
    """A pair of bars per group: (its name, bytes the sites sent, bytes that crossed the link)."""

    def draw(plot: Any) -> None:
        places = [float(-number) for number in range(len(groups))]
        plot.barh([place + 0.19 for place in places], [before for _, before, _ in groups], 0.34, color=BEFORE)
        plot.barh([place - 0.19 for place in places], [after for _, _, after in groups], 0.34, color=AFTER)
        end = max((max(before, after) for _, before, after in groups), default=1) or 1
        for place, (_, before, after) in zip(places, groups, strict=True):
            for at, value, colour in ((place + 0.19, before, SOFT), (place - 0.19, after, INK)):
                plot.text(value + end * 0.012, at, size(value), va="center", ha="left", fontsize=8.5, color=colour)
        plot.set_yticks(places, [label for label, _, _ in groups])
        plot.set_xlim(0, end * 1.2)
        plot.set_xticks([])
        plot.tick_params(axis="y", length=0)
        plot.spines["bottom"].set_visible(False)

    return _svg(name, title, (NARROW_IN, 0.4 + 0.5 * len(groups)), draw)


def stages(name: str, title: str, found: Sequence[Stage]) -> str:
    """A line per stage from its median to its 99th percentile, on a logarithmic scale."""

    def draw(plot: Any) -> None:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        for number, stage in enumerate(found):
            p50, p95, p99 = (max(value, 0.1) for value in (stage.p50_ms, stage.p95_ms, stage.p99_ms))
            plot.plot((p50, p99), (-number, -number), color=BEFORE, linewidth=5, solid_capstyle="round")
            for value, shape, label in ((p50, "o", "p50"), (p95, "D", "p95"), (p99, "|", "p99")):
                colour = AFTER if shape != "|" else INK
                plot.plot(
                    [value], [-number], shape, color=colour, markersize=6.5 if shape != "|" else 12,
                    markerfacecolor=AFTER if shape == "o" else MARK, markeredgewidth=1.6, linestyle="",
                    label=label if number == 0 else None,
                )  # fmt: skip
        plot.set_xscale("log")
        plot.xaxis.set_major_locator(LogLocator(numticks=6))
        plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: milliseconds(value).replace(".0 ", " ")))
        plot.xaxis.set_minor_formatter(NullFormatter())
        plot.set_yticks([-number for number in range(len(found))], [words.stage(stage.name) for stage in found])
        plot.set_ylim(-len(found) + 0.4, 0.6)
        plot.tick_params(axis="y", length=0)
        plot.grid(True, axis="x", linewidth=0.7)
        _legend(plot)

    return _svg(name, title, (NARROW_IN, 1.1 + 0.34 * len(found)), draw)


def quality(name: str, title: str, found: Quality) -> str:
    """How many images lie in each hundredth of similarity."""

    def draw(plot: Any) -> None:
        from matplotlib.ticker import MaxNLocator

        plot.bar([middle for middle, _ in found.counts], [count for _, count in found.counts], 0.0086, color=AFTER)
        low = min(min(middle for middle, _ in found.counts), 0.9)
        plot.set_xlim(low - 0.01, 1.005)
        plot.axvline(found.p50, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        plot.text(found.p50, 1.02, f"median {found.p50:.2f}", transform=plot.get_xaxis_transform(), ha="center")
        plot.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        plot.xaxis.set_major_locator(MaxNLocator(5))
        plot.set_xlabel("similarity to the original, 1 is equal")
        plot.set_ylabel("images")
        plot.grid(True, axis="y", linewidth=0.7)

    return _svg(name, title, (NARROW_IN, 2.8), draw)


def _svg(name: str, title: str, inches: tuple[float, float], draw: Callable[[Any], None]) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    look: Any = {
        "svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif", "font.size": 9.5,
        "text.color": INK, "axes.labelcolor": SOFT, "axes.edgecolor": LINE, "xtick.color": SOFT, "ytick.color": INK,
        "xtick.labelcolor": SOFT, "ytick.labelcolor": INK, "grid.color": LINE, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
        "ytick.major.size": 0, "xtick.minor.size": 0,
    }  # fmt: skip
    with rc_context(look):
        figure = Figure(figsize=inches, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(out.getvalue(), name, title)


def _inline(svg: str, name: str, title: str) -> str:
    """Only the element, with the page's colours and font, ids of its own, and a name for screen readers."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    for placeholder, colour in COLOURS.items():
        element = element.replace(placeholder, colour)
    element = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", element)
    element = re.sub(r"<!--.*?-->|\n\s*", " ", element, flags=re.DOTALL)
    element = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d+\.\d)\d+", r"\1", tag[0]), element)  # not in texts
    element = re.sub(r' (?:xmlns:xlink|version|width|height)="[^"]*"', "", element, count=4)
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", element)
    return element.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1).strip()


def _sizes(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: size(int(value)).replace(".0 ", " ")))


def _legend(plot: Any) -> None:
    plot.legend(
        frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.1,
        handlelength=1, columnspacing=1.2,
    )  # fmt: skip


def _label(at_s: float, step_s: int) -> str:
    form = "%H:%M" if step_s < DAY_S // 4 else "%b %d"
    return time.strftime(form, time.gmtime(at_s)).replace(" 0", " ")
