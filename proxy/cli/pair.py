"""`sketchwire pair`: makes two installations known to each other, and ends that.

In: at the upstream proxy a code to give out, at the downstream proxy the code and an address. Out: a key on each side
that the other accepts. Refuses: codes that are wrong, late or used; everything on a folder that cannot be written.
"""

from __future__ import annotations

import asyncio
import json
import logging
import platform
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.config import ConfigFile
from proxy.cli.exits import fail
from proxy.config import Config, load
from proxy.link import codes, keys
from proxy.link.join import join, replace_key
from proxy.link.pairing import PairingFailed
from proxy.link.peers import Peers, PeersUnreadable, ca_file

EPILOG = """
sketchwire pair code -c upstream.toml

sketchwire pair join proxy.example.org:8083 7KQ2M-XD4PA -c downstream.toml

A code is good once, for ten minutes, and not after five wrong guesses. Instead of a code to read out,
`pair code --file` writes a file to carry over, good for a day, for `pair join --file`.
"""


class Role(StrEnum):
    """Whose list of peers."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"


RoleOption = Annotated[Role, typer.Option("--role", help="Which proxy's state on this machine.")]


def register(app: typer.Typer) -> None:
    """Add `pair` and its subcommands."""
    group = typer.Typer(no_args_is_help=True, help="Pair the two proxies for the link, or end that.", epilog=EPILOG)
    app.add_typer(group, name="pair")

    @group.command("code")
    def _code(
        config: ConfigFile = None,
        name: Annotated[str, typer.Option(help="What to call the downstream proxy here.")] = "",
        minutes: Annotated[float, typer.Option(min=1, max=1440, help="How long the code is good.")] = 10.0,
        file: Annotated[
            Path | None, typer.Option(metavar="PATH", help="Write a file instead, with a long code good for a day.")
        ] = None,
        address: Annotated[str, typer.Option(metavar="HOST:PORT", help="The link's address to put into it.")] = "",
    ) -> None:
        """At the upstream proxy: make a one-time code. The running proxy takes it up at once."""
        folder = link_folder(load(config), Role.UPSTREAM)
        _remind(load(config), Role.UPSTREAM)
        if file is None:
            typer.echo(codes.make(folder, name, minutes * 60))
            return
        code = codes.make(folder, name, 86_400, long=True)
        told = {"v": 1, "code": code, "address": address, "pem": keys.load_or_make(folder).pem}
        keys.write_private(file, json.dumps(told).encode() + b"\n")
        typer.echo(f"{file}: carry it to the downstream proxy; whoever has it can pair, once, for a day")

    @group.command("join")
    def _join(
        address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Where the upstream's link listens.")] = "",
        code: Annotated[str, typer.Argument(metavar="CODE", help="What `pair code` printed there.")] = "",
        config: ConfigFile = None,
        name: Annotated[str, typer.Option(help="What to be called there.")] = platform.node(),
        file: Annotated[Path | None, typer.Option(metavar="PATH", help="The file `pair code --file` wrote.")] = None,
    ) -> None:
        """At the downstream proxy: use a code."""
        settings = load(config)
        pinned = ""
        if file is not None:
            told = _read(file)
            code, pinned = str(told.get("code", "")), str(told.get("pem", ""))
            address = address or str(told.get("address", "")) or settings.downstream.link_upstream
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not code:
            fail("give the address (HOST:PORT) of the upstream's link and the code, or --file")
        folder = link_folder(settings, Role.DOWNSTREAM)
        try:
            peer = asyncio.run(join(folder, host.strip("[]"), int(port), code, name, pinned))
        except PairingFailed as error:
            fail(str(error))
        typer.echo(f"paired with {host} ({peer.fingerprint[:16]}); https answers are checked with {ca_file(folder)}")
        _remind(settings, Role.DOWNSTREAM)

    @group.command("list")
    def _list(config: ConfigFile = None, role: RoleOption = Role.UPSTREAM) -> None:
        """Who is paired."""
        folder = link_folder(load(config), role)
        typer.echo(f"this {role}: {keys.load_or_make(folder).fingerprint[:16]}")
        for peer in _peers(folder).all().values():
            added = time.strftime("%Y-%m-%d", time.gmtime(peer.added_s))
            typer.echo(f"{peer.fingerprint[:16]}  {added}  {peer.name}")

    @group.command("revoke")
    def _revoke(
        which: Annotated[str, typer.Argument(metavar="NAME|FINGERPRINT")],
        config: ConfigFile = None,
        role: RoleOption = Role.UPSTREAM,
    ) -> None:
        """Forget a peer: its connection ends within seconds, and it cannot connect again."""
        gone = _peers(link_folder(load(config), role)).forget(which)
        if not gone:
            fail(f"nobody called {which!r} is paired; `sketchwire pair list` shows who is")
        for peer in gone:
            typer.echo(f"revoked {peer.name} ({peer.fingerprint[:16]})")

    @group.command("rotate")
    def _rotate(config: ConfigFile = None) -> None:
        """At the downstream proxy: replace its key; the upstream proxy takes the new one over the old connection."""
        settings = load(config)
        host, _, port = settings.downstream.link_upstream.rpartition(":")
        folder = link_folder(settings, Role.DOWNSTREAM)
        try:
            mark = asyncio.run(replace_key(folder, host.strip("[]"), int(port)))
        except PairingFailed as error:
            fail(str(error))
        typer.echo(f"this downstream is {mark[:16]} now; the old key is good until the new one was first used")


def _remind(config: Config, role: Role) -> None:
    """A proxy that is started alone uses the link only when it is told to."""
    if getattr(config, role).link != "h2":
        more = ", link_host and link_port" if role is Role.UPSTREAM else " and link_upstream"
        typer.echo(f'for the link to be used, set link = "h2"{more} in [{role}] and start that proxy again', err=True)


def link_folder(config: Config, role: Role) -> Path:
    """Where a role keeps what belongs to the link."""
    logging.getLogger("sketchwire.link").setLevel(logging.ERROR)
    return Path(getattr(config, role).state_dir).expanduser() / "link"


def _peers(folder: Path) -> Peers:
    peers = Peers(folder)
    try:
        peers.all()
    except PeersUnreadable as error:
        fail(str(error))
    return peers


def _read(file: Path) -> dict[str, object]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fail(f"{file}: {error}")
    if not isinstance(told, dict):
        fail(f"{file} is no pairing file")
    return told
