"""`sketchwire ledger` and `sketchwire forget`: who is in the ledger, what about them, and its upkeep.

In: a ledger, a pseudonym or the client or user it stands for. Out: tables, records as CSV, JSON or Parquet, a new key.
Refuses: pseudonyms the ledger does not know (`UnknownSubscriber`), ledgers that cannot be read.
"""

from __future__ import annotations

import csv
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from proxy.cli.config import ConfigFile
from proxy.cli.exits import fail
from proxy.cli.report import Proxy, gallery_of, percent, place_of, size
from proxy.config import Config, load
from proxy.gallery import shelf
from proxy.ledger.database import shown
from proxy.ledger.pseudonym import key_file, load_key, named, pseudonym, rotate
from proxy.ledger.read import Scope, opened
from proxy.ledger.schema import MIGRATIONS
from proxy.ledger.subject import UnknownSubscriber, everything, forget, writing

LedgerOption = Annotated[
    str | None, typer.Option("--ledger", metavar="FILE|URL", help="The ledger; by default the configured one.")
]
RoleOption = Annotated[Proxy, typer.Option(help="Whose ledger and key.")]
Subscriber = Annotated[
    str | None, typer.Argument(metavar="SUBSCRIBER", help="A pseudonym, as `sketchwire ledger subscribers` shows it.")
]
Client = Annotated[
    str | None, typer.Option(metavar="NAME", help="Instead: the address or user name, turned into its pseudonym here.")
]


class Format(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def register(app: typer.Typer) -> None:
    """Add `ledger`, with its subcommands, and `forget`."""
    group = typer.Typer(no_args_is_help=True, help="Who is in the ledger, exports for them, keys and upkeep.")
    app.add_typer(group, name="ledger")

    @app.command("forget")
    def _forget(
        subscriber: Subscriber = None,
        client: Client = None,
        ledger: LedgerOption = None,
        config: ConfigFile = None,
        role: RoleOption = Proxy.DOWNSTREAM,
    ) -> None:
        """Delete what the ledger holds about a subscriber; what they add to the sums stays, under nobody's name."""
        settings = load(config)
        place = place_of(ledger, settings, role)
        who = _who(subscriber, client, settings, role)
        pictures = shelf.forget(gallery_of(settings), who)
        if pictures:
            typer.echo(f"Forgotten: {pictures:,} pictures of the gallery.")
        gone = forget(place, who)
        typer.echo(f"Forgotten: {gone.rows:,} rows deleted, {gone.sums:,} sums kept without a name, in {shown(place)}.")

    @group.command("subscribers")
    def _subscribers(
        ledger: LedgerOption = None, config: ConfigFile = None, role: RoleOption = Proxy.DOWNSTREAM, most: int = 50
    ) -> None:
        """List the pseudonyms, and what was saved for each."""
        with opened(place_of(ledger, load(config), role)) as reader:
            groups = reader.by_subscriber(Scope(role=role.value), most)
        table = Table("subscriber", *("responses", "origin", "link", "saved"))
        for found in groups:
            t = found.totals
            sizes = (size(t.origin_bytes), size(t.link_bytes + t.refetch_bytes), percent(t.saved_percent))
            table.add_row(found.key[0] or "–", f"{t.responses:,}", *sizes)
        Console().print(table)

    @group.command("pseudonym")
    def _pseudonym(client: str, config: ConfigFile = None, role: RoleOption = Proxy.DOWNSTREAM) -> None:
        """Print the pseudonym of an address or a user name, made with the present key."""
        typer.echo(_who(None, client, load(config), role))

    @group.command("export")
    def _export(
        subscriber: Annotated[str | None, typer.Option(help="The pseudonym.")] = None,
        client: Client = None,
        form: Annotated[Format, typer.Option("--format", help="csv, json or parquet.")] = Format.JSON,
        out: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: standard output.")] = None,
        ledger: LedgerOption = None,
        config: ConfigFile = None,
        role: RoleOption = Proxy.DOWNSTREAM,
    ) -> None:
        """Write all that the ledger holds about one subscriber, for a request of theirs."""
        settings = load(config)
        records = everything(place_of(ledger, settings, role), _who(subscriber, client, settings, role))
        write_records(list(records), form, out)

    @group.command("rotate-key")
    def _rotate(config: ConfigFile = None, role: RoleOption = Proxy.DOWNSTREAM) -> None:
        """Make a new key for pseudonyms; from now on nobody can tell who the old ones stood for."""
        path = key_file(load(config).ledger, getattr(load(config), role.value).state_dir)
        rotate(path)
        typer.echo(f"{path} is new. Running proxies take it within seconds; the old key is gone.")

    @group.command("migrate")
    def _migrate(ledger: LedgerOption = None, config: ConfigFile = None, role: RoleOption = Proxy.DOWNSTREAM) -> None:
        """Bring a ledger to this version's format. The proxies do it when they start."""
        place = place_of(ledger, load(config), role)
        with writing(place):
            typer.echo(f"{shown(place)} has format {len(MIGRATIONS)}.")


def write_records(records: list[dict[str, Any]], form: Format, out: Path | None) -> None:
    """Write flat records in a format, to a file of its owner's or to standard output."""
    names = list(dict.fromkeys(name for record in records for name in record))
    if form is Format.PARQUET:
        _parquet(records, names, out)
        return
    target = sys.stdout if out is None else out.open("w", encoding="utf-8", newline="")
    try:
        if form is Format.JSON:
            json.dump(records, target, indent=1)
            target.write("\n")
        else:
            writer = csv.DictWriter(target, names)
            writer.writeheader()
            writer.writerows(records)
    finally:
        if out is not None:
            target.close()
            out.chmod(0o600)


def _parquet(records: list[dict[str, Any]], names: list[str], out: Path | None) -> None:
    if out is None:
        fail("Parquet is no text: name a file with --out")
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        fail("Parquet needs pyarrow: pip install 'sketchwire[export]'")
    columns = {name: [record.get(name) for record in records] for name in names}
    pq.write_table(pa.table(columns), out)
    out.chmod(0o600)


def _who(subscriber: str | None, client: str | None, settings: Config, role: Proxy) -> str:
    if (subscriber is None) == (client is None):
        raise typer.BadParameter("give a pseudonym, or --client with an address or user name")
    if subscriber is not None:
        return subscriber
    path = key_file(settings.ledger, getattr(settings, role.value).state_dir)
    if not path.is_file():
        raise UnknownSubscriber(f"{path}: there is no key yet, so nobody has a pseudonym")
    return pseudonym(load_key(path), named(client or ""))
