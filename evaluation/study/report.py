"""The study's report: tables and charts of what people said, and apart from it what simulated raters did.

In: stimuli, all answers about them. Out: `report.json` and `report.html` in the study's folder. Refuses: studies
without answers (`ValueError`).

Simulated raters are never taken together with people: they have sections of their own, their charts and tables say so,
and while there are any, the page begins with a banner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.report.page import Section, page, paragraph, text
from evaluation.report.tables import UNKNOWN, number, percent, table
from evaluation.study.analysis import RESAMPLES, analyse
from evaluation.study.answers import Answer
from evaluation.study.figures import Interval, grouped, intervals
from evaluation.study.stimuli import ORIGINAL, OURS, Stimuli
from evaluation.study.trials import MEANINGS, RATINGS

PEOPLE, SIMULATED = "people", "simulated"
NAMES = {OURS: "ours", ORIGINAL: "the original", "webp": "WebP", "avif": "AVIF", "jpegxl": "JPEG XL"}
BANNER = "Simulated raters: figures marked so were made by a script that looks at pixels. No person gave them."
_BANNER_STYLE = "border:1px solid;border-radius:6px;padding:.5rem .75rem;font-weight:600;color:var(--c1)"


def write(stimuli: Stimuli, answers: Sequence[Answer], out: Path) -> tuple[Path, Path]:
    """(HTML, JSON) of the report. Raises ValueError."""
    if not answers:
        raise ValueError("no answers about these stimuli yet")
    groups = {
        name: analyse(some, stimuli)
        for name, wanted in ((PEOPLE, False), (SIMULATED, True))
        if (some := [answer for answer in answers if answer.simulated is wanted])
    }
    document = {
        "has_simulated_raters": SIMULATED in groups,
        "note": BANNER if SIMULATED in groups else "",
        "stimuli": {
            "images": len(stimuli.images), "engine": stimuli.engine, "chosen_by": stimuli.chosen_by,
            "budget_bpp": stimuli.budget_bpp, "digest": stimuli.digest, "bytes": _bytes(stimuli),
        },
        "groups": groups,
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    html, machine = out / "report.html", out / "report.json"
    machine.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    html.write_text(render(document), encoding="utf-8")
    return html, machine


def render(document: Mapping[str, Any]) -> str:
    """The whole page."""
    about, groups = document["stimuli"], document["groups"]
    introduction = []
    if document["has_simulated_raters"]:
        introduction.append(f'<p role="alert" style="{_BANNER_STYLE}">{text(BANNER)}</p>')
    introduction += [
        paragraph(
            f"{about['images']} images. Ours is drawn by {about['engine']}; each codec had at most the bytes of our "
            f"bundle and could downscale; of its files the best by {about['chosen_by']} was shown. Order, sides and "
            "versions were drawn for each participant; nobody was told which version a picture is."
        ),
        paragraph(
            f"Intervals are 95 %, percentile bootstrap over participants, {RESAMPLES:,} resamples; with few of them "
            "over answers, which makes them too narrow, and then it is said. Where all answers agree there is none. "
            "Strengths: 400 Elo points are ten choices to one; their mean is 0.",
            soft=True,
        ),
    ]
    sections = [
        Section(f"{group}-{name}", f"{title}{_tag(group)}", parts)
        for group, figures in groups.items()
        for name, title, parts in (
            ("who", "Who answered", [_who(figures)]),
            ("ratings", "A: how close, 1 to 10", _ratings(group, figures["ratings"])),
            ("meaning", "B: meaning kept on the page", _meaning(group, figures["meaning"])),
            ("preference", "C: which one, at equal bytes", _preference(group, figures["preference"])),
        )
    ]
    sections.append(Section("bytes", "Bytes", [_bytes_table(about["bytes"])]))
    return page("User study", introduction, sections, f"Stimuli: {about['digest'][:16]}.")


def _who(figures: Mapping[str, Any]) -> str:
    seconds = figures["median_answer_s"]
    time = f", {number(seconds, 1)} s an answer (median)" if seconds is not None else ""
    kind = "simulated raters" if figures["simulated"] else "participants"
    return paragraph(f"{figures['participants']} {kind}, {figures['answers']} answers{time}.")


def _ratings(group: str, found: Mapping[str, Any]) -> list[str]:
    shares = {_name(n): [count / sum(counts) for count in counts] for n, counts in found["histogram"].items()}
    rows = [[_name(n), str(sum(found["histogram"][n])), _interval(figure, 2)] for n, figure in found["figures"].items()]
    title = f"How often each rating was given{_tag(group)}"
    return [
        table(f"Mean rating{_tag(group)}{_how(found)}", ["version", "answers", "mean"], rows),
        _charts(
            grouped(f"{group}-a", title, shares, RATINGS, "rating", "share of the answers"),
            intervals(f"{group}-am", f"Mean rating{_tag(group)}", _values(found), "rating", False, None),
        ),
    ]


def _meaning(group: str, found: Mapping[str, Any]) -> list[str]:
    counts = found["counts"]
    shares = {_name(n): [c[value] / sum(c.values()) for value in MEANINGS] for n, c in counts.items()}
    rows = [
        [_name(n), str(sum(counts[n].values())), _interval(figure, 1, True), *(str(counts[n][v]) for v in MEANINGS)]
        for n, figure in found["figures"].items()
    ]
    headings = ["version", "answers", "kept", *MEANINGS]
    title = f"Does the picture still tell what the original tells on its page?{_tag(group)}"
    return [
        table(f"Meaning kept{_tag(group)}{_how(found)}", headings, rows),
        _charts(grouped(f"{group}-b", title, shares, MEANINGS, "", "share of the answers")),
    ]


def _preference(group: str, found: Mapping[str, Any]) -> list[str]:
    chosen, points = found["ours_chosen_over"], found["strength_elo"]
    rows = [[_name(n), _interval(figure, 1, True)] for n, figure in chosen["figures"].items()]
    ranked = sorted(points["figures"].items(), key=lambda one: -one[1]["value"])
    strong = [[_name(n), _interval(figure, 0)] for n, figure in ranked]
    sides = found["left_chosen"]
    bias = UNKNOWN if sides is None else percent(sides)
    return [
        table(f"Ours chosen{_tag(group)}{_how(chosen)}", ["over", "share of the choices"], rows),
        table(f"Bradley–Terry strength{_tag(group)}{_how(points)}", ["version", "Elo points"], strong),
        paragraph(f"The picture on the left was chosen in {bias} of the answers; 50 % is without bias.", soft=True),
        _charts(
            intervals(
                f"{group}-c", f"Ours chosen over{_tag(group)}", _values(chosen), "share of the choices", True, 0.5
            ),
            intervals(f"{group}-bt", f"Strength{_tag(group)}", _values(points), "Elo points", False, 0.0),
        ),
    ]


def _values(found: Mapping[str, Any]) -> dict[str, Interval]:
    ordered = sorted(found["figures"].items(), key=lambda one: -one[1]["value"])
    return {_name(n): (figure["value"], figure["low"], figure["high"]) for n, figure in ordered}


def _bytes(stimuli: Stimuli) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for image in stimuli.images:
        for name, shown in {**image.conditions, ORIGINAL: image.original}.items():
            found.setdefault(name, []).append(shown.size_bytes)
    return found


def _bytes_table(found: Mapping[str, Sequence[int]]) -> str:
    rows = [[_name(n), str(len(sizes)), f"{sum(sizes) / len(sizes):,.0f}"] for n, sizes in found.items()]
    return table("Mean bytes of each version; the original's are its file's", ["version", "images", "bytes"], rows)


def _interval(figure: Mapping[str, Any], digits: int, share: bool = False) -> str:
    show = percent if share else number
    value = show(figure["value"], digits)
    return (
        value if figure["low"] is None else f"{value}\n{show(figure['low'], digits)} … {show(figure['high'], digits)}"
    )


def _charts(*parts: str) -> str:
    return f'<div class="charts">{"".join(parts)}</div>'


def _how(found: Mapping[str, Any]) -> str:
    return "" if found["drawn"] == "participants" else "; intervals over answers"


def _tag(group: str) -> str:
    return " (simulated rater)" if group == SIMULATED else ""


def _name(condition: str) -> str:
    return NAMES.get(condition, condition)
