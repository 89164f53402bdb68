"""Charts as inline SVG, in the page's own colours.

In: series of points. Out: an `<svg>` element that follows light and dark. Refuses nothing; series without points are
left out, and a chart without any is one sentence.

matplotlib draws with placeholder colours that are then replaced by the page's CSS variables; ids are made unique, so
that many charts fit in one page, and there is no date in them, so that the same points give the same text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.report.page import text

_INK, _SOFT, _LINE = "#010101", "#020202", "#030303"
_SERIES = tuple(f"#0401{number:02x}" for number in range(6))
_COLOURS = {_INK: "var(--ink)", _SOFT: "var(--soft)", _LINE: "var(--line)"}
_COLOURS |= {colour: f"var(--c{number})" for number, colour in enumerate(_SERIES)}
_MARKERS = "osD^vP"


@dataclass(frozen=True, slots=True)
class Series:
    """Points with a name; joined by a line if `line`. `colour` numbers the page's six, in the order of a report."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    line: bool = False


@dataclass(frozen=True, slots=True)
class Axes:
    """What a chart's axes are called and how they run; `level` draws a labelled horizontal line; `low_x` and
    `low_y` cut off what is below them.
    """

    x: str
    y: str
    log_x: bool = False
    percent_x: bool = False
    percent_y: bool = False
    level: tuple[float, str] | None = None
    low_y: float | None = None
    low_x: float | None = None


def chart(name: str, title: str, series: Sequence[Series], axes: Axes) -> str:
    """A figure with its title as caption; `name` must be unique in the page."""
    there = [one for one in series if one.points]
    if not there:
        return f"<figure><figcaption>{text(title)}: not measured</figcaption></figure>"
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    look: Any = {
        "svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif", "font.size": 10,
        "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _SOFT, "xtick.color": _SOFT,
        "ytick.color": _SOFT, "grid.color": _LINE, "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    with rc_context(look):
        figure = Figure(figsize=(5.6, 3.6), layout="constrained")
        FigureCanvasSVG(figure)
        plot = figure.add_subplot()
        _draw(plot, there, axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return f"<figure>{_inline(out.getvalue(), name, title)}<figcaption>{text(title)}</figcaption></figure>"


def _draw(plot: Any, series: Sequence[Series], axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

    for number, one in enumerate(series):
        xs, ys = zip(*one.points, strict=True)
        look = {"color": _SERIES[one.colour % 6], "marker": _MARKERS[one.colour % 6], "label": one.name}
        if one.line:
            plot.plot(xs, ys, markersize=4, linewidth=1.5, **look)
        else:
            plot.scatter(xs, ys, s=16, alpha=0.75, linewidths=0, zorder=2 + number, **look)
    if axes.level is not None:
        plot.axhline(axes.level[0], color=_SOFT, linewidth=1, linestyle=(0, (4, 3)), label=axes.level[1])
    if axes.log_x:
        plot.set_xscale("log")
        plot.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        plot.xaxis.set_minor_formatter(NullFormatter())
    if axes.percent_x:
        plot.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    if axes.percent_y:
        plot.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    if axes.low_y is not None:
        plot.set_ylim(bottom=axes.low_y)
    if axes.low_x is not None:
        plot.set_xlim(left=axes.low_x)
    plot.set_xlabel(axes.x)
    plot.set_ylabel(axes.y)
    plot.grid(True, linewidth=0.6)
    plot.set_axisbelow(True)
    plot.legend(frameon=False, fontsize=9, loc="best")


def _inline(svg: str, name: str, title: str) -> str:
    """Only the element, with the page's colours, ids of its own, and a name for screen readers."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    for placeholder, colour in _COLOURS.items():
        element = element.replace(placeholder, colour)
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", element)
    return element.replace("<svg ", f'<svg role="img" aria-label="{text(title)}" ', 1).strip()
