"""`sketchwire report`: what was saved, for people and for machines.

In: a ledger. Out: tables, or one JSON object. Refuses: a file that is no ledger (`LedgerUnreadable`); a missing or
empty one is no error, there is just nothing to report yet.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from proxy.cli.config import ConfigFile
from proxy.config import load
from proxy.ledger import ledger_file
from proxy.ledger.read import Group, Summary, Totals, summary


class Proxy(StrEnum):
    """Each proxy keeps a ledger of its own; downstream's knows what crossed the link."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"


SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
EPILOG = """
sketchwire report

sketchwire report --since 24h --json

sketchwire report --ledger ~/.sketchwire/upstream/ledger.sqlite

Saved is net: what crossed the link, heads included, and what had to be fetched again are charged against it. The
ledger holds no URLs, hosts or paths.
"""


def register(app: typer.Typer) -> None:
    """Add `report`."""

    @app.command("report", epilog=EPILOG)
    def report(
        ledger: Annotated[
            Path | None, typer.Option("--ledger", metavar="FILE", help="The ledger; by default the configured one.")
        ] = None,
        config: ConfigFile = None,
        role: Annotated[
            Proxy | None, typer.Option(help="Whose rows; by default downstream's, where there are any.")
        ] = None,
        since: Annotated[
            str | None, typer.Option(metavar="TIME", help="Only the last 90s, 30m, 24h, 7d or 4w; default: all.")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
    ) -> None:
        """Show what was saved, by decision, mode and content type, and how long the stages took."""
        after_s = time.time() - _period_s(since) if since else 0.0
        if ledger is None:
            settings = load(config)
            ledger = ledger_file(settings.ledger, getattr(settings, (role or Proxy.DOWNSTREAM).value).state_dir)
        found = _read(ledger, after_s, role) if ledger.exists() else None
        if as_json:
            typer.echo(json.dumps(as_object(found, ledger), indent=2))
        elif found is None or not found.totals.images:
            _nothing_yet(Console(), ledger, since if found else None)
        else:
            show(Console(), found, ledger)


def _read(ledger: Path, after_s: float, role: Proxy | None) -> Summary:
    found = summary(ledger, after_s, role or Proxy.DOWNSTREAM)
    return found if role or found.totals.images else summary(ledger, after_s, Proxy.UPSTREAM)


def as_object(found: Summary | None, ledger: Path) -> dict[str, Any]:
    """The summary for machines: the same figures as the tables; a missing ledger gives zeros."""
    totals = found.totals if found else Totals()
    return {
        "ledger": str(ledger),
        "exists": found is not None,
        "first_s": found.first_s if found else None,
        "last_s": found.last_s if found else None,
        "totals": _totals(totals),
        "by_decision": [
            {"decision": g.key[0], "reason": g.key[1], **_totals(g.totals)}
            for g in (found.by_decision if found else ())
        ],
        "by_mode": [{"mode": g.key[0], **_totals(g.totals)} for g in (found.by_mode if found else ())],
        "by_content_type": [
            {"content_type": g.key[0], **_totals(g.totals)} for g in (found.by_content_type if found else ())
        ],
        "stages": [asdict(stage) for stage in (found.stages if found else ())],
    }


def show(console: Console, found: Summary, ledger: Path) -> None:
    """Print the tables."""
    totals = found.totals
    first, last = (time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) for at in (found.first_s, found.last_s))
    lines = (
        f"[bold]{totals.images:,}[/bold] images, {first} to {last}  [dim]{ledger}[/dim]",
        f"origin {size(totals.origin_bytes)} · link {size(totals.link_bytes)} · "
        f"fetched again {size(totals.refetch_bytes)} · delivered {size(totals.delivered_bytes)}",
        f"[bold green]saved {percent(totals.saved_percent)}[/bold green] of the origin's bytes, net",
    )
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
    console.print(_table("by decision", ("decision", "reason"), found.by_decision))
    if found.by_mode:
        console.print(_table("by mode", ("mode",), found.by_mode))
    console.print(_table("by content type", ("content type",), found.by_content_type))
    if found.stages:
        stages = Table(title="stages", title_justify="left")
        stages.add_column("stage")
        for head in ("images", "p50 ms", "p95 ms"):
            stages.add_column(head, justify="right")
        for stage in found.stages:
            name = stage.name.removesuffix("_ms")
            stages.add_row(name, f"{stage.images:,}", f"{stage.p50_ms:,.1f}", f"{stage.p95_ms:,.1f}")
        console.print(stages)


def size(count: int) -> str:
    """Bytes as people read them, in powers of 1,000."""
    units, value = ["B", "kB", "MB", "GB", "TB"], float(count)
    while abs(value) >= 999.5 and len(units) > 1:
        value /= 1_000
        units.pop(0)
    return f"{value:,.0f} {units[0]}" if units[0] == "B" or abs(value) >= 99.95 else f"{value:,.1f} {units[0]}"


def percent(value: float | None) -> str:
    """A percentage, or a dash when there is nothing to compare with."""
    return "–" if value is None else f"{value:.1f} %"


def _table(title: str, keys: tuple[str, ...], groups: tuple[Group, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for key in keys:
        table.add_column(key)
    for head in ("images", "origin", "link", "refetched", "saved"):
        table.add_column(head, justify="right")
    for group in groups:
        t = group.totals
        sizes = (size(t.origin_bytes), size(t.link_bytes), size(t.refetch_bytes) if t.refetch_bytes else "–")
        table.add_row(*(key or "–" for key in group.key), f"{t.images:,}", *sizes, percent(t.saved_percent))
    return table


def _nothing_yet(console: Console, ledger: Path, since: str | None) -> None:
    if since:
        console.print(f"No images in the last {since} in {ledger}.", highlight=False, soft_wrap=True)
        return
    console.print(
        f"Nothing to report yet: no image is recorded in {ledger}.\n"
        "Start the proxies with `sketchwire up`, set the browser's proxy to them, and look at a page with pictures.",
        highlight=False,
        soft_wrap=True,
    )


def _totals(totals: Totals) -> dict[str, Any]:
    saved = totals.saved_percent
    return {
        **asdict(totals),
        "saved_bytes": totals.saved_bytes,
        "saved_percent": None if saved is None else round(saved, 3),
    }


def _period_s(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r}: write a number and s, m, h, d or w, e.g. 24h", param_hint="--since")
    return float(match[1]) * SECONDS[match[2]]
