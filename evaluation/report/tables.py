"""Tables of figures as HTML, and figures as text.

In: headings and rows of text. Out: a table. Refuses nothing. What was not measured is said in words, never left blank.
"""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.report.page import text
from evaluation.stats import Estimate

NOT_MEASURED = "not measured"
UNKNOWN = "–"


def table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = ()) -> str:
    """A table; the columns numbered in `words` hold sentences. A newline in a cell puts what follows in small."""
    head = "".join(f"<th{' class=words' if n in words else ''}>{text(h)}</th>" for n, h in enumerate(headings))
    body = "".join("<tr>" + "".join(_cell(c, n in words) for n, c in enumerate(row)) + "</tr>" for row in rows)
    title = f"<caption>{text(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(content: str, words: bool) -> str:
    first, _, small = content.partition("\n")
    tail = f"<br><small>{text(small)}</small>" if small else ""
    return f"<td{' class=words' if words else ''}>{text(first)}{tail}</td>"


def percent(share: float | None, digits: int = 1) -> str:
    """0.926 as 92.6 %."""
    return UNKNOWN if share is None else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 3) -> str:
    """With so many digits, thousands parted."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def estimate(found: Estimate | None, digits: int = 3, share: bool = False) -> str:
    """The value, and in small its 95 % interval."""
    if found is None:
        return UNKNOWN
    show = percent if share else number
    if found.low is None or found.high is None:
        return show(found.value, digits)
    return f"{show(found.value, digits)}\n{show(found.low, digits)} … {show(found.high, digits)}"
