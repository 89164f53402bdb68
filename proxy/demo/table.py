"""The results as a table for a terminal.

In: results and their totals. Out: a rich table. Refuses: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from proxy.demo.results import ImageResult, Totals


def results_table(results: Sequence[ImageResult], sums: Totals) -> Table:
    """One row an image, in the order of the visit, then photographs and everything together."""
    table = Table(title="What crossed the link", title_justify="left", pad_edge=False, header_style="bold")
    table.add_column("image", no_wrap=True)
    for heading in ("origin", "link", "saved"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what happened")
    table.add_column("ms", justify="right", no_wrap=True)
    for result in results:
        table.add_row(
            result.image.name,
            size(result.image.size_bytes),
            size(result.link_bytes),
            percent(result.saved_percent),
            escape(outcome(result)),
            f"{result.elapsed_ms:.0f}",
            style="red" if result.problem else "" if result.drawn else "dim",
        )
    table.add_section()
    eligible = percent(sums.eligible_saved_percent)
    origin, link = size(sums.eligible_origin_bytes), size(sums.eligible_link_bytes)
    table.add_row(f"{sums.eligible} photographs", origin, link, f"[bold green]{eligible}[/]", "", "")
    everything = (size(sums.origin_bytes), size(sums.link_bytes), percent(sums.saved_percent))
    table.add_row(f"{sums.images} images", *everything, "", f"{sums.ms:.0f}")
    return table


def outcome(result: ImageResult) -> str:
    """In a few words, for people: what was done and why."""
    if result.problem:
        return f"broken: {result.problem}"
    if result.drawn:
        how = "preview" if result.previewed else "drawn"
        return f"{how}: {result.mode}" + (f" ({result.reason})" if result.reason else "")
    why = result.reason.replace("-", " ") or result.decision
    return f"as it is: {why}" + ("" if result.unchanged else ", coded anew")


def size(size_bytes: int) -> str:
    """Bytes below 1 kB, else kB with one decimal."""
    return f"{size_bytes} B" if size_bytes < 1000 else f"{size_bytes / 1000:.1f} kB"


def percent(value: float) -> str:
    """One decimal, with a real minus sign."""
    return f"{value:.1f} %".replace("-", "−")
