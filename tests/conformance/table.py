"""Tries every rule and writes docs/conformance.md, another proxy side by side where it is installed.

    python -m tests.conformance.table > docs/conformance.md
    python -m tests.conformance.table --only range,tag --why

In: `RULES`. Out: Markdown on standard output, progress on standard error. Refuses: to hide a rule that fails; it exits
with 1 when one of ours does.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.conformance.rules import RULES, Rule
from tests.conformance.stand import Stand, other, pair

PASSED, FAILED, NOT_ASKED = "✓", "✗", "–"
DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"
LIMIT_S = 110.0
_GROUPS = {
    "method": "Methods",
    "status": "Statuses",
    "untouched": "What may not be changed",
    "range": "Parts",
    "tag": "Validators",
    "head": "Fields of a rewritten picture",
    "coding": "Content codings",
    "fetch": "What was asked for",
    "same": "What is no picture",
    "cookie": "Cookies",
    "secret": "Credentials",
    "moving": "Animation",
    "alpha": "Transparency",
    "colour": "Colours",
    "exif": "Orientation",
    "jpeg": "Damaged and unusual JPEG",
    "lie": "Lying types",
    "format": "Formats",
    "bomb": "Bombs",
    "frame": "Framing",
    "interim": "Interim answers",
    "stream": "Streams and sockets",
    "hop": "Hop-by-hop fields",
    "field": "Fields",
    "client": "Clients",
    "origin": "Origins",
    "forged": "Forgeries",
    "asked": "Who gets bundles",
    "circle": "Circles",
    "tls": "TLS",
}
HEAD = """# Conformance

What a browsing proxy must not break, each rule with a test that asks over real sockets: an origin that sends exactly
what the test says, both proxies as processes, a client that reads exactly what comes. Made by

    python -m tests.conformance.table > docs/conformance.md

The tests are `tests/conformance/rules/`; one of them runs as `python -m pytest tests/conformance -k NAME`. The last
column is the same requests through {other}: – where the rule is about
what only a pair like ours has. ✗ there says that the rule does not hold; some rules ask for more than that proxy sets
out to do. FACTS are the project's own fail-safe rules, DESIGN its promises.
"""


def ordered() -> list[Rule]:
    """The rules as the document lists them."""
    return sorted(RULES.values(), key=lambda rule: list(_GROUPS).index(rule.group))


async def attempt(rule: Rule, stand: Stand) -> str:
    """Why the rule does not hold, or nothing."""
    try:
        async with asyncio.timeout(LIMIT_S):
            await rule.check(stand)
    except Exception as error:  # whatever a check stumbles over is a rule that does not hold
        return f"{type(error).__name__}: {error}"[:300]
    return ""


async def results(rules: list[Rule], why: bool, beside: bool) -> tuple[dict[str, str], dict[str, str] | None]:
    """(our result by the rule's name, the other proxy's or None)."""
    with tempfile.TemporaryDirectory() as folder:
        async with pair(Path(folder)) as stand:
            ours = await _all(rules, stand, why)
    if not beside:
        return ours, None
    async with other() as stand_beside:
        theirs = None
        if stand_beside is not None:
            theirs = await _all([rule for rule in rules if not rule.ours], stand_beside, why)
    return ours, theirs


async def _all(rules: list[Rule], stand: Stand, why: bool) -> dict[str, str]:
    found = {}
    for rule in rules:
        began = time.monotonic()
        problem = await attempt(rule, stand)
        found[rule.name] = FAILED if problem else PASSED
        if why and (problem or time.monotonic() - began > 3):
            who = "ours" if stand.is_ours else "theirs"
            print(f"{who} {rule.name} {time.monotonic() - began:.1f} s {problem}", file=sys.stderr, flush=True)
    return found


def written(ours: Mapping[str, str], theirs: Mapping[str, str] | None) -> str:
    """The document."""
    lines = [HEAD.format(other="ziproxy 3.3.2 (Debian's package, its own settings)")]
    held = sum(result == PASSED for result in ours.values())
    lines.append(f"**{held} of {len(ours)} rules hold.**")
    if theirs is not None:
        lines[-1] += (
            f" ziproxy was asked about {len(theirs)} of them: {sum(r == PASSED for r in theirs.values())} hold."
        )
    group = ""
    for rule in ordered():
        if rule.group != group:
            group = rule.group
            lines += ["", f"## {_GROUPS[group]}", "", "| rule | source | test | Sketchwire | ziproxy |"]
            lines.append("|---|---|---|:-:|:-:|")
        beside = NOT_ASKED if theirs is None else theirs.get(rule.name, NOT_ASKED)
        lines.append(f"{row(rule)} {ours.get(rule.name, NOT_ASKED)} | {beside} |")
    return "\n".join([*lines, ""])


def row(rule: Rule) -> str:
    """A rule's line up to its results."""
    text = rule.text.replace("|", "\\|")
    return f"| {text} | {rule.source} | `{rule.name}` |"


def main() -> int:
    """Try the rules; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--only", default="", help="rules whose names start with one of these, separated by commas")
    parser.add_argument("--why", action="store_true", help="say why a rule does not hold")
    parser.add_argument("--alone", action="store_true", help="leave the other proxy out")
    asked = parser.parse_args()
    starts = tuple(asked.only.split(",")) if asked.only else ("",)
    rules = [rule for rule in ordered() if rule.name.startswith(starts)]
    ours, theirs = asyncio.run(results(rules, asked.why, not asked.alone))
    if not asked.only:
        print(written(ours, theirs), end="")
    failed = [name for name, result in ours.items() if result != PASSED]
    print(f"{len(rules)} rules, {len(failed)} fail: {' '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
