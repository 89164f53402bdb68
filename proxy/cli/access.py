"""`sketchwire access`: tokens that pair the proxies, users' passwords, the list of hosts that are left alone.

In: files, names, a password from the terminal or standard input. Out: changed files; never a token or password on the
terminal. Refuses: files that cannot be used (`ValueError`, which says why).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from proxy.access.htpasswd import set_password
from proxy.access.pairing import rotate
from proxy.cli.exits import fail
from proxy.tunnel.hosts import SHIPPED, BypassFileError, read_list, shipped

EPILOG = """
sketchwire access rotate /etc/sketchwire/pair.tokens

sketchwire access password alice /etc/sketchwire/users

sketchwire access bypass > /etc/sketchwire/bypass.toml

Running proxies take changed files over on SIGHUP. To change the token without a gap: rotate it on the upstream machine
and send SIGHUP there, copy the file to the downstream machine and send SIGHUP there. The old token counts until the
next rotation.
"""


def register(app: typer.Typer) -> None:
    """Add `access` and its subcommands."""
    group = typer.Typer(
        no_args_is_help=True, help="Pair the proxies, keep users' passwords, see what is left alone.", epilog=EPILOG
    )
    app.add_typer(group, name="access")

    @group.command("rotate")
    def _rotate(file: Annotated[Path, typer.Argument(metavar="FILE", help="The file that pair_file names.")]) -> None:
        """Put a new pairing token into FILE; the newest old one still counts. Makes the file if there is none."""
        try:
            tokens = rotate(file)
        except (ValueError, OSError) as error:
            fail(str(error))
        kept = f", {tokens.marks[1]} still counts" if len(tokens.marks) > 1 else ""
        typer.echo(f"{file}: new token {tokens.marks[0]}{kept} (digits of their digests, not the tokens)")

    @group.command("password")
    def _password(
        name: Annotated[str, typer.Argument(metavar="NAME", help="The user.")],
        file: Annotated[Path, typer.Argument(metavar="FILE", help="The file that proxyauth names.")],
    ) -> None:
        """Add a user to FILE or give one a new password, asked for twice, or read from a pipe. Makes the file."""
        if sys.stdin.isatty():
            password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        else:
            password = sys.stdin.readline().rstrip("\r\n")
        try:
            set_password(file, name, password)
        except (ValueError, OSError) as error:
            fail(str(error))
        typer.echo(f"{file}: {name} may use the proxy")

    @group.command("bypass")
    def _bypass(
        host: Annotated[str | None, typer.Argument(metavar="[HOST]", help="Tell about this host only.")] = None,
        file: Annotated[Path | None, typer.Option(metavar="FILE", help="An own list, as bypass_file names it.")] = None,
    ) -> None:
        """Print the list of hosts whose TLS passes untouched, to edit; or say which group HOST belongs to."""
        try:
            hosts = read_list(file) if file else shipped()
        except BypassFileError as error:
            fail(str(error))
        if host is None:
            typer.echo((file or SHIPPED).read_text(encoding="utf-8"), nl=False)
        else:
            group_name = hosts.group(host)
            typer.echo(f"{host}: left alone ({group_name})" if group_name else f"{host}: not on the list")
