"""`sketchwire plan`: machines, GPUs, disk, link and cost for a number of subscribers, with every assumption.

In: options. Out: a table, or a JSON object. Refuses: numbers that make no sense, with exit status 2.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Annotated, Any

import typer

from proxy.cli.exits import USAGE, fail
from proxy.plan.model import Figures, Load, Plan, assumptions, plan

_ROWS = (
    ("requests in the busiest hour", "requests_s", "{:,.1f} /s"),
    ("images, of which upstream analyses", "encoded_s", "{:,.2f} /s"),
    ("images drawn by runtimes", "drawn_s", "{:,.2f} /s"),
    ("downstream proxy processes, one spare", "downstream_processes", "{:,}"),
    ("upstream proxy processes, one spare", "upstream_processes", "{:,}"),
    ("cores that encode", "encoder_cores", "{:,}"),
    ("cores that draw", "runtime_cores", "{:,}"),
    ("GPUs that draw, one spare", "gpus", "{:,}"),
    ("machines at the edge, one spare", "edge_machines", "{:,}"),
    ("machines in the data centre, one spare", "centre_machines", "{:,}"),
    ("shared cache if all is kept for its whole time", "cache_gb", "{:,.1f} GB"),
    ("ledger", "ledger_gb", "{:,.1f} GB"),
    ("link in the busiest hour", "link_mbit_s", "{:,.1f} Mbit/s"),
    ("the same without Sketchwire", "link_without_mbit_s", "{:,.1f} Mbit/s"),
    ("saved a month", "saved_gb_month", "{:,.1f} GB"),
    ("cost a month", "money_month", "{:,.0f}"),
    ("cost per GB saved", "money_per_gb", "{:,.3f}"),
)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("plan")(plan_command)


def plan_command(
    subscribers: Annotated[int, typer.Option(min=1, help="People with an account.")],
    pages_per_hour: Annotated[float, typer.Option(min=0, help="Pages an active one opens in the busiest hour.")] = 6.0,
    gpu: Annotated[bool, typer.Option("--gpu/--cpu", help="Where runtimes draw.")] = True,
    given: Annotated[
        list[str] | None, typer.Option("--set", help="Another figure: NAME=NUMBER, any name of the list below.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """How many machines and GPUs that many subscribers need, what it costs per GB saved, and on which assumptions."""
    load, figures = Load(subscribers, pages_per_hour), Figures()
    try:
        for item in given or ():
            name, _, number = item.partition("=")
            if name in {f.name for f in fields(Load)} - {"subscribers"}:
                change: dict[str, Any] = {name: float(number)}
                load = replace(load, **change)
            elif name in {f.name for f in fields(Figures)}:
                figures = replace(figures, **{name: float(number)})
            else:
                known = ", ".join(each for each, _, _ in assumptions(load, figures))
                fail(f"--set {item}: no figure is called {name!r}; known: {known}", code=USAGE)
        found = plan(load, figures, gpu)
    except ValueError as error:
        fail(f"{error}", code=USAGE)
    if as_json:
        told = {"plan": asdict(found), "load": asdict(load), "figures": asdict(figures), "gpu": gpu}
        typer.echo(json.dumps(told, indent=2))
        return
    _table(found)
    typer.echo("\nOn these assumptions (change any with --set NAME=NUMBER):")
    for name, value, source in assumptions(load, figures):
        typer.echo(f"  {name:<22}{value:>12,.4g}  {source}")
    typer.echo(
        "\nFigures measured on a small shared machine are pessimistic, GPU figures are aims: measure before you buy."
    )


def _table(found: Plan) -> None:
    for text, name, form in _ROWS:
        value = getattr(found, name)
        typer.echo(f"{text:<50}{'nothing is saved' if value is None else form.format(value):>18}")
