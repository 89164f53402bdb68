"""The study's charts, after the paper's Figure 5, as inline SVG in the page's own colours.

In: shares by answer, or values with intervals. Out: a `<figure>`. Refuses nothing; without values a chart is one
sentence.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evaluation.report import charts
from evaluation.report.page import text

Interval = tuple[float, float | None, float | None]  # value, low, high


def grouped(name: str, title: str, bars: Mapping[str, Sequence[float]], ticks: Sequence[str], x: str, y: str) -> str:
    """For every tick one bar of each version, shares from 0 to 1."""

    def paint(plot: Any) -> None:
        width = 0.8 / len(bars)
        for number, (label, shares) in enumerate(bars.items()):
            places = [tick - 0.4 + width * (number + 0.5) for tick in range(len(ticks))]
            plot.bar(places, shares, width * 0.92, color=charts._SERIES[number % 6], label=label)
        plot.set_xticks(range(len(ticks)), ticks)
        _percent(plot)
        plot.set(xlabel=x, ylabel=y)
        plot.legend(frameon=False, fontsize=9)

    return _figure(name, title, paint, bool(bars))


def intervals(name: str, title: str, values: Mapping[str, Interval], x: str, share: bool, level: float | None) -> str:
    """A dot with its interval for each version, the first on top; `level` is a line to compare with."""

    def paint(plot: Any) -> None:
        for row, (value, low, high) in enumerate(values.values()):
            if low is not None and high is not None:
                plot.plot([low, high], [row, row], color=charts._SERIES[0], linewidth=2)
            plot.plot([value], [row], "o", color=charts._SERIES[0], markersize=7)
        if level is not None:
            plot.axvline(level, color=charts._SOFT, linewidth=1, linestyle=(0, (4, 3)))
        plot.set_yticks(range(len(values)), list(values))
        plot.set_ylim(len(values) - 0.5, -0.5)
        if share:
            from matplotlib.ticker import PercentFormatter

            plot.set_xlim(0, 1)
            plot.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        plot.set(xlabel=x)

    return _figure(name, title, paint, bool(values))


def _percent(plot: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    plot.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))


def _figure(name: str, title: str, paint: Callable[[Any], None], there: bool) -> str:
    if not there:
        return f"<figure><figcaption>{text(title)}: no answers</figcaption></figure>"
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    ink, soft, line = charts._INK, charts._SOFT, charts._LINE
    look: Any = {
        "svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif", "font.size": 10, "text.color": ink,
        "axes.labelcolor": ink, "axes.edgecolor": soft, "xtick.color": soft, "ytick.color": ink, "grid.color": line,
        "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    with rc_context(look):
        figure = Figure(figsize=(5.6, 3.3), layout="constrained")
        FigureCanvasSVG(figure)
        plot = figure.add_subplot()
        paint(plot)
        plot.grid(True, linewidth=0.6)
        plot.set_axisbelow(True)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return f"<figure>{charts._inline(out.getvalue(), name, title)}<figcaption>{text(title)}</figcaption></figure>"
