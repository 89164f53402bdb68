"""`sketchwire subscribers`: accounts, their tiers, quotas, schedules and consents.

In: names and options. Out: a changed file, tables, JSON. Refuses: what no subscriber can be, names that are taken or
unknown (`SubscriberError`, `ScheduleError`), files that cannot be used (`StoreError`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from proxy.cli.config import ConfigFile
from proxy.cli.report import size
from proxy.config import Config, load
from proxy.subscribers.account import Consent, Quota, Subscriber, check_version, networks_of
from proxy.subscribers.admission import file_of, rules_of, zone
from proxy.subscribers.decide import has_consented
from proxy.subscribers.forgetting import forget_everywhere, pseudonym_of
from proxy.subscribers.quota import used
from proxy.subscribers.schedule import parse_schedule
from proxy.subscribers.store import Store

MB = 1_000_000
EPILOG = """
sketchwire subscribers add alice --tier balanced --month-mb 5000 --consent 2026-11

sketchwire subscribers set alice --tier economy --when "mon-fri 18:00-23:00, congested"

sketchwire subscribers set alice --withdraw

Running proxies of the same machine notice changes within a second; SIGHUP makes them look at once. An account lets
nobody in by itself: passwords are set with `sketchwire access password`, or kept in a directory.
"""

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]


class Tier(StrEnum):
    """What a subscriber may have; proxy.config.TIERS."""

    OFF = "off"
    FAITHFUL = "faithful"
    BALANCED = "balanced"
    ECONOMY = "economy"


TierOption = Annotated[Tier | None, typer.Option(help="How good pictures must be; off: originals.")]
Networks = Annotated[
    list[str] | None, typer.Option("--network", metavar="CIDR", help="An address or network; may be repeated.")
]
DayMb = Annotated[float | None, typer.Option(min=0, help="Megabytes over the link a day; 0: no limit.")]
MonthMb = Annotated[float | None, typer.Option(min=0, help="Megabytes over the link a month; 0: no limit.")]
When = Annotated[
    str | None, typer.Option(metavar="SCHEDULE", help="always, congested, or times: 'mon-fri 18:00-23:00'.")
]
ConsentOption = Annotated[
    str | None, typer.Option("--consent", metavar="VERSION", help="They agreed, now, to this version of the text.")
]


def register(app: typer.Typer) -> None:
    """Add `subscribers` and its subcommands."""
    group = typer.Typer(no_args_is_help=True, help="Accounts: tiers, quotas, schedules, consent.", epilog=EPILOG)
    app.add_typer(group, name="subscribers")

    @group.command("add")
    def _add(
        name: Name,
        tier: TierOption = None,
        network: Networks = None,
        day_mb: DayMb = None,
        month_mb: MonthMb = None,
        when: When = None,
        consent: ConsentOption = None,
        config: ConfigFile = None,
    ) -> None:
        """Add a subscriber; without --tier nothing is changed for them (off)."""
        plain = Subscriber(name, Tier.OFF.value)
        made = replace(_changed(plain, tier, network, day_mb, month_mb, when), consent=_consent(consent))
        with _store(load(config)) as store:
            store.add(made, time.time())
        typer.echo(f"{name}: {made.tier}, {made.schedule.text}, {_agreed(made)}")

    @group.command("set")
    def _set(
        name: Name,
        tier: TierOption = None,
        network: Networks = None,
        no_network: Annotated[bool, typer.Option("--no-network", help="Take all networks away.")] = False,
        day_mb: DayMb = None,
        month_mb: MonthMb = None,
        when: When = None,
        consent: ConsentOption = None,
        withdraw: Annotated[bool, typer.Option("--withdraw", help="They took their consent back, now.")] = False,
        config: ConfigFile = None,
    ) -> None:
        """Change a subscriber; what is not named stays. The networks that are named replace those of before."""
        if withdraw and consent is not None:
            raise typer.BadParameter("consent is given or taken back, not both")
        with _store(load(config)) as store:
            known = store.subscribers().get(name) or Subscriber(name, Tier.OFF.value)
            given = [] if no_network else network
            store.set(_changed(known, tier, given, day_mb, month_mb, when))
            agreed = _consent(consent)
            if agreed is not None:
                store.consent(name, agreed, given=True)
            elif withdraw:
                version = known.consent.version if known.consent else ""
                store.consent(name, Consent(version, time.time()), given=False)
            now = store.subscribers()[name]
        typer.echo(f"{name}: {now.tier}, {now.schedule.text}, {_agreed(now)}")

    @group.command("list")
    def _list(
        name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this one, with all consents.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
        config: ConfigFile = None,
    ) -> None:
        """List subscribers, their terms, and what they used."""
        settings = load(config)
        with _store(settings) as store:
            found = [each for each in store.subscribers().values() if name in (None, each.name)]
            told = [_told(settings, each, store.use([each.name]).get(each.name, {})) for each in found]
            if name is not None:
                for each in told:
                    each["consents"] = [
                        {"version": consent.version, "time": _utc(consent.time_s), "given": given}
                        for consent, given in store.consents(name)
                    ]
        if as_json or name is not None:
            typer.echo(json.dumps(told, indent=1))
            return
        table = Table("subscriber", "tier", "when", "consent", "day", "month", "networks", "pseudonym")
        for each in told:
            counts = [f"{size(each[f'{p}_used_bytes'])} / {_limit(each[f'{p}_bytes'])}" for p in ("day", "month")]
            agreed = each["consent"] or ("missing" if not each["consented"] else "–")
            networks = ", ".join(each["networks"]) or "–"
            table.add_row(each["name"], each["tier"], each["when"], agreed, *counts, networks, each["pseudonym"])
        Console().print(table)

    @group.command("forget")
    def _forget(name: Name, config: ConfigFile = None) -> None:
        """Delete a subscriber: account, consents, use, password, and all that downstream's ledger holds of them."""
        gone = forget_everywhere(load(config), name)
        parts = [text for text, there in (("account", gone.account), ("password", gone.password)) if there]
        typer.echo(
            f"{name} is forgotten: {', '.join(parts) or 'no account'}; in the ledger {gone.rows:,} rows deleted,"
            f" {gone.sums:,} sums kept without a name."
        )


def _changed(
    known: Subscriber,
    tier: Tier | None,
    networks: list[str] | None,
    day_mb: float | None,
    month_mb: float | None,
    when: str | None,
) -> Subscriber:
    day = known.quota.day_bytes if day_mb is None else round(day_mb * MB)
    month = known.quota.month_bytes if month_mb is None else round(month_mb * MB)
    return replace(
        known,
        tier=known.tier if tier is None else tier.value,
        networks=known.networks if networks is None else networks_of(networks),
        quota=Quota(day, month),
        schedule=known.schedule if when is None else parse_schedule(when),
    )


def _consent(version: str | None) -> Consent | None:
    return None if version is None else Consent(check_version(version), time.time())


def _told(settings: Config, each: Subscriber, by_day: dict[str, int]) -> dict[str, Any]:
    spent = used(by_day, datetime.now(zone(settings.subscribers)))
    return {
        "name": each.name,
        "tier": each.tier,
        "when": each.schedule.text,
        "networks": [str(network) for network in each.networks],
        "consent": f"{each.consent.version} {_utc(each.consent.time_s)}" if each.consent else "",
        "consented": has_consented(each, rules_of(settings.subscribers)),
        "day_bytes": each.quota.day_bytes,
        "day_used_bytes": spent.day_bytes,
        "month_bytes": each.quota.month_bytes,
        "month_used_bytes": spent.month_bytes,
        "pseudonym": pseudonym_of(settings, each.name),
    }


def _agreed(each: Subscriber) -> str:
    return f"agreed to {each.consent.version}" if each.consent else "no consent recorded"


def _limit(count: int) -> str:
    return size(count) if count else "no limit"


def _utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _store(settings: Config) -> Iterator[Store]:
    path: Path = file_of(settings)
    store = Store(path)
    try:
        yield store
    finally:
        store.close()
