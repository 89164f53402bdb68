"""The proxies' commands: `sketchwire upstream` and `sketchwire downstream`.

In: command lines. Out: serving processes. Refuses: what `proxy.config` and `addons.run` refuse, in one line each.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from proxy.cli.config import ConfigFile
from proxy.config import Config, load

Host = Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address to listen on.", show_default=False)]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")]
StateDir = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the certificate authority and state.")]
ReadyFile = Annotated[Path | None, typer.Option(metavar="PATH", help="Write port, pid and CA file here once ready.")]
DrainS = Annotated[float, typer.Option(min=0, help="Seconds to finish requests under way after SIGTERM.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log mitmproxy's own messages too; they name hosts.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`. mitmproxy is imported when one of them runs."""
    app.command("upstream")(upstream)
    app.command("downstream")(downstream)


def upstream(
    config: ConfigFile = None,
    host: Host = None,
    port: Port = None,
    state_dir: StateDir = None,
    mode: Annotated[str | None, typer.Option(help="auto, or a bundle mode for every image.")] = None,
    allow_private_target: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="May be fetched though private; can be repeated.")
    ] = None,
    origin_ca: Annotated[Path | None, typer.Option(metavar="FILE", help="Extra CA certificates for origins.")] = None,
    ready_file: ReadyFile = None,
    drain_s: DrainS = 10.0,
    verbose: Verbose = False,
) -> None:
    """Run the proxy in the data centre: it fetches from origins and sends bundles."""
    again = partial(
        _settings,
        "upstream",
        config,
        listen_host=host,
        listen_port=port,
        state_dir=state_dir,
        mode=mode,
        allow_private_targets=allow_private_target,
        origin_ca=origin_ca,
    )
    settings = again()
    _log(verbose)
    from addons.run import run_upstream

    run_upstream(settings, ready_file, drain_s, again if config else None)


def downstream(
    config: ConfigFile = None,
    host: Host = None,
    port: Port = None,
    state_dir: StateDir = None,
    upstream: Annotated[str | None, typer.Option(metavar="URL", help="The upstream proxy.")] = None,
    upstream_ca: Annotated[Path | None, typer.Option(metavar="FILE", help="The upstream proxy's CA.")] = None,
    runtime: Annotated[str | None, typer.Option(metavar="URL", help='The runtime; "" for previews only.')] = None,
    ready_file: ReadyFile = None,
    drain_s: DrainS = 10.0,
    verbose: Verbose = False,
) -> None:
    """Run the proxy near the user: browsers are set to it."""
    again = partial(
        _settings,
        "downstream",
        config,
        listen_host=host,
        listen_port=port,
        state_dir=state_dir,
        upstream=upstream,
        upstream_ca=upstream_ca,
        runtime=runtime,
    )
    settings = again()
    _log(verbose)
    from addons.run import run_downstream

    run_downstream(settings, ready_file, drain_s, again if config else None)


def _settings(role: str, config: Path | None, **overrides: Any) -> Config:
    """The configuration, with the options that were given on the command line."""
    given = {key: str(value) if isinstance(value, Path) else value for key, value in overrides.items()}
    return load(config, {role: {key: value for key, value in given.items() if value is not None}})


def _log(verbose: bool) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    logging.getLogger("sketchwire").setLevel(logging.INFO)
    logging.getLogger("mitmproxy").setLevel(logging.INFO if verbose else logging.ERROR)
