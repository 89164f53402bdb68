"""`sketchwire report`: what was saved, for people and for machines.

In: a ledger. Out: tables, one JSON object, an HTML file, or records as CSV, JSON or Parquet. Refuses: a file that is no
ledger (`LedgerUnreadable`); a missing or empty one is no error, there is just nothing to report yet.
"""

from __future__ import annotations

import calendar
import json
import os
import re
import time
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from proxy import __version__
from proxy.cli.config import ConfigFile
from proxy.config import Config, load
from proxy.gallery import shelf
from proxy.ledger import Place, ledger_place
from proxy.ledger.database import shown
from proxy.ledger.read import Group, Scope, Summary, Totals
from proxy.report.content import Report, Wanted, gather, with_pictures
from proxy.report.document import render
from proxy.report.numbers import percent, size
from proxy.report.records import records

__all__ = ["Proxy", "as_object", "percent", "place_of", "register", "show", "size"]


class Proxy(StrEnum):
    """Each proxy keeps a ledger of its own; downstream's knows what crossed the link."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"


SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
SHARED_K = 5
EPILOG = """
sketchwire report

sketchwire report --since 7d --compare --html report.html

sketchwire report --since 2026-01-01 --until 2026-02-01 --export january.csv

sketchwire report --since 24h --json

sketchwire report --ledger ~/.sketchwire/upstream/ledger.sqlite

Saved is net: what crossed the link, heads included, and what had to be fetched again are charged against it. The
ledger holds no URLs, paths or queries, and domains only where the operator asked for them. Prices and the link's rate
are in the table [report] of the configuration.
"""


def register(app: typer.Typer) -> None:
    """Add `report`."""

    @app.command("report", epilog=EPILOG)
    def report(
        ledger: Annotated[
            str | None,
            typer.Option("--ledger", metavar="FILE|URL", help="The ledger; by default the configured one."),
        ] = None,
        config: ConfigFile = None,
        role: Annotated[
            Proxy | None, typer.Option(help="Whose rows; by default downstream's, where there are any.")
        ] = None,
        since: Annotated[
            str | None,
            typer.Option(metavar="TIME", help="Only the last 90s, 30m, 24h, 7d or 4w, or from a date on (UTC)."),
        ] = None,
        until: Annotated[
            str | None, typer.Option(metavar="TIME", help="Up to so long ago, or up to before a date (UTC).")
        ] = None,
        compare: Annotated[
            bool, typer.Option("--compare", help="Beside the period of the same length just before; needs --since.")
        ] = False,
        subscriber: Annotated[
            str | None, typer.Option(metavar="PSEUDONYM", help="Only this subscriber's; `sketchwire ledger` has names.")
        ] = None,
        shared: Annotated[
            bool,
            typer.Option("--shared", help="For other people's eyes: no subscribers, no single images, no rare sites."),
        ] = False,
        html: Annotated[
            Path | None, typer.Option("--html", metavar="FILE", help="Write one HTML file that needs no network.")
        ] = None,
        export: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Write the figures as .csv, .json or .parquet.")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
    ) -> None:
        """Show what was saved, by decision, mode and content type, and how long the stages took."""
        settings, now_s = load(config), time.time()
        place = place_of(ledger, settings, role or Proxy.DOWNSTREAM)
        scope = Scope(_moment_s(since, now_s, "--since") or 0.0, _moment_s(until, now_s, "--until"), role, subscriber)
        if compare and not scope.since_s:
            raise typer.BadParameter("say with --since how long the periods are", param_hint="--compare")
        if scope.until_s is not None and scope.until_s <= scope.since_s:
            raise typer.BadParameter("the period ends before it begins", param_hint="--until")
        if export is not None and export.suffix.lower() not in (".csv", ".json", ".parquet"):
            raise typer.BadParameter(f"{export}: name a .csv, .json or .parquet file", param_hint="--export")
        wanted = Wanted(
            now_s,
            scope,
            settings.report,
            max(settings.ledger.domain_k, SHARED_K if shared else 1),
            shared,
            place if ledger else place_of(None, settings, Proxy.UPSTREAM),
        )
        found = _read(place, wanted)
        earlier = _read(place, replace(wanted, scope=_just_before(scope, now_s))) if compare and found else None
        if found is not None and html is not None:
            shown_ = with_pictures(
                found, gallery_of(settings), settings.downstream.runtime or settings.upstream.runtime
            )
            _write(html, render(shown_, earlier, __version__))
        if found is not None and export is not None:
            _export(export, found, earlier)
        if as_json:
            typer.echo(json.dumps(as_object(found.summary if found else None, place, found), indent=2))
        elif found is None or not found.summary.totals.responses:
            _nothing_yet(Console(), place, since if found else None)
        elif html is None and export is None:
            show(Console(), found.summary, place)
            if earlier is not None:
                Console().print(f"The period before, of the same length: {_short(earlier)}", highlight=False)


def place_of(ledger: str | None, settings: Config, role: Proxy) -> Place:
    """The ledger that is named, a file or a URL, else the role's configured one."""
    if ledger is None:
        return ledger_place(settings.ledger, getattr(settings, role.value).state_dir)
    return ledger if "://" in ledger else Path(ledger)


def gallery_of(settings: Config) -> Path:
    """Where upstream keeps pictures for the report, if it is to keep any and is on this machine."""
    return Path(settings.upstream.state_dir).expanduser() / shelf.FOLDER


def _read(place: Place, wanted: Wanted) -> Report | None:
    """What the ledger says of a period; None without a ledger."""
    if isinstance(place, Path) and not place.exists():
        return None
    return gather(place, wanted)


def _just_before(scope: Scope, now_s: float) -> Scope:
    end_s = now_s if scope.until_s is None else scope.until_s
    return replace(scope, since_s=max(2 * scope.since_s - end_s, 1.0), until_s=scope.since_s)


def _short(found: Report) -> str:
    totals = found.summary.totals
    return f"{totals.responses:,} responses, saved {percent(totals.saved_percent)}, {size(totals.saved_bytes)}"


def _write(path: Path, document: str) -> None:
    """Write a file for its owner alone: it may name subscribers and sites."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(document)
    typer.echo(f"{path} is written ({size(len(document.encode()))}).", err=True)


def _export(path: Path, found: Report, earlier: Report | None) -> None:
    from proxy.cli.ledger import Format, write_records  # which needs this module

    lines = [*records(found), *(records(earlier, "before") if earlier else ())]
    write_records(lines, Format(path.suffix.lower().removeprefix(".")), path)
    typer.echo(f"{path} is written ({len(lines):,} records).", err=True)


def as_object(found: Summary | None, ledger: Place, report: Report | None = None) -> dict[str, Any]:
    """The summary for machines: the same figures as the tables; a missing ledger gives zeros."""
    totals = found.totals if found else Totals()
    quality = report.quality if report else found.quality if found else None
    return {
        "ledger": shown(ledger),
        "exists": found is not None,
        "first_s": found.first_s if found else None,
        "last_s": found.last_s if found else None,
        "totals": _totals(totals),
        "images": _totals(found.images if found else Totals()),
        "subscribers": found.subscribers if found else 0,
        "by_decision": [
            {"decision": g.key[0], "reason": g.key[1], **_totals(g.totals)}
            for g in (found.by_decision if found else ())
        ],
        "by_mode": [{"mode": g.key[0], **_totals(g.totals)} for g in (found.by_mode if found else ())],
        "by_content_type": [
            {"content_type": g.key[0], **_totals(g.totals)} for g in (found.by_content_type if found else ())
        ],
        "by_engine": [{"engine": g.key[0], **_totals(g.totals)} for g in (found.by_engine if found else ())],
        "by_domain": [{"domain": g.key[0], **_totals(g.totals)} for g in (found.by_domain if found else ())],
        "worth": {**asdict(report.worth), "net_money": report.worth.net_money} if report else None,
        "quality": asdict(quality) if quality else None,
        "stages": [asdict(stage) for stage in (found.stages if found else ())],
    }


def show(console: Console, found: Summary, ledger: Place) -> None:
    """Print the tables."""
    totals = found.totals
    first, last = (time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) for at in (found.first_s, found.last_s))
    lines = (
        f"[bold]{totals.responses:,}[/bold] responses, {totals.images:,} images, {first} to {last}  "
        f"[dim]{shown(ledger)}[/dim]",
        f"origin {size(totals.origin_bytes)} · link {size(totals.link_bytes)} · "
        f"fetched again {size(totals.refetch_bytes)} · delivered {size(totals.delivered_bytes)}",
        f"[bold green]saved {percent(totals.saved_percent)}[/bold green] of the origin's bytes, net; "
        f"of images' {percent(found.images.saved_percent)}",
    )
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
    console.print(_table("by decision", ("decision", "reason"), found.by_decision))
    if found.by_mode:
        console.print(_table("by mode", ("mode",), found.by_mode))
    if found.by_domain:
        console.print(_table("by domain", ("domain",), found.by_domain))
    console.print(_table("by content type", ("content type",), found.by_content_type))
    if found.stages:
        stages = Table(title="stages", title_justify="left")
        stages.add_column("stage")
        for head in ("responses", "p50 ms", "p95 ms", "p99 ms"):
            stages.add_column(head, justify="right")
        for stage in found.stages:
            name = stage.name.removesuffix("_ms")
            stages.add_row(
                name, f"{stage.responses:,}", *(f"{ms:,.1f}" for ms in (stage.p50_ms, stage.p95_ms, stage.p99_ms))
            )
        console.print(stages)


def _table(title: str, keys: tuple[str, ...], groups: tuple[Group, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for key in keys:
        table.add_column(key)
    for head in ("responses", "origin", "link", "refetched", "saved"):
        table.add_column(head, justify="right")
    for group in groups:
        t = group.totals
        sizes = (size(t.origin_bytes), size(t.link_bytes), size(t.refetch_bytes) if t.refetch_bytes else "–")
        table.add_row(*(key or "–" for key in group.key), f"{t.responses:,}", *sizes, percent(t.saved_percent))
    return table


def _nothing_yet(console: Console, ledger: Place, since: str | None) -> None:
    if since:
        span = f"since {since}" if "-" in since else f"in the last {since}"
        console.print(f"Nothing {span} in {shown(ledger)}.", highlight=False, soft_wrap=True)
        return
    console.print(
        f"Nothing to report yet: nothing is recorded in {shown(ledger)}.\n"
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


def _moment_s(text: str | None, now_s: float, option: str) -> float | None:
    """When a period begins or ends: so long ago, or at the beginning of a day in UTC."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip())
    if match is not None:
        return max(now_s - float(match[1]) * SECONDS[match[2]], 1.0)
    try:
        return max(float(calendar.timegm(time.strptime(text.strip(), "%Y-%m-%d"))), 1.0)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: write a number and s, m, h, d or w, e.g. 24h, or a date, e.g. 2026-01-31", param_hint=option
        ) from None
