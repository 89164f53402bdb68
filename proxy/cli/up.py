"""`sketchwire up`: both proxies and the runtime on one machine, kept running.

In: a configuration. Out: three processes that know each other's ports, a ready file, their log lines. Refuses: ports in
use and a state folder that another `up` is using, before anything is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import logging.handlers
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from proxy import ports
from proxy.access.pairing import TokenFileError, rotate
from proxy.cli.config import ConfigFile, to_toml
from proxy.cli.exits import USAGE, fail
from proxy.config import Config, ConfigError, load
from proxy.hangup import Terminal
from proxy.link import here
from proxy.link.peers import PeersUnreadable
from proxy.supervise import Limits, Ready, Role, Supervisor

CA_NAME = "mitmproxy-ca-cert.pem"
LOG_BYTES, LOG_FILES = 10 * 1024 * 1024, 3
ROLES = ("runtime", "upstream", "downstream")  # in the order they start
PROXIES = ("upstream", "downstream")  # these take a changed configuration over while they run
PAIR_FILE = "pair.tokens"
EPILOG = """
sketchwire up

sketchwire up --config configs/demo.toml --ready-file /run/sketchwire.json

Port 0 in the configuration takes a free port; the ready file, a JSON object with port, pid and ca for each part, says
which. Stop it with Ctrl-C or SIGTERM: each part finishes what it has begun; a second Ctrl-C ends all at once.
"""


def register(app: typer.Typer) -> None:
    """Add `up`."""

    @app.command("up", epilog=EPILOG)
    def up(
        config: ConfigFile = None,
        ready_file: Annotated[
            Path | None, typer.Option(metavar="PATH", help="Write ports, pids and CA files here once all is ready.")
        ] = None,
        state_dir: Annotated[
            Path | None,
            typer.Option(metavar="DIR", help="Keep all state below this folder instead of the configured ones."),
        ] = None,
        log_dir: Annotated[
            Path | None, typer.Option(metavar="DIR", help="Write each part's log to a file here, not to the terminal.")
        ] = None,
    ) -> None:
        """Run both proxies and the runtime on this machine, and restart what dies."""

        def read() -> Config:
            found = load(config)
            found = found if state_dir is None else _moved(found, state_dir.absolute())
            return here.settled(_paired(found, _run_dir(found)))

        settings = read()
        run_dir = _run_dir(settings)
        with _only_one(run_dir):
            _check_ports(settings)
            try:
                here.paired(settings)
            except (PeersUnreadable, OSError) as error:
                fail(f"the proxies cannot be paired for the link: {error}")
            asyncio.run(_run(settings, run_dir, ready_file, _output(log_dir), read if config else None))


def child_command(role: str, config_file: Path, ready_file: Path) -> list[str]:
    """How a part is started."""
    return [sys.executable, "-m", "proxy", role, "--config", str(config_file), "--ready-file", str(ready_file)]


def roles(config: Config | Callable[[], Config], run_dir: Path) -> list[Role]:
    """The three parts; each gets a configuration file, made when it starts, with the others' actual ports."""

    def command(name: str) -> Callable[[Mapping[str, Ready], Path], Sequence[str]]:
        def make(last: Mapping[str, Ready], ready_file: Path) -> Sequence[str]:
            file = run_dir / f"{name}.toml"
            _write(file, to_toml(wired(config() if callable(config) else config, last)))
            return child_command(name, file, ready_file)

        return make

    # without the runtime downstream shows previews, so browsing goes on
    return [Role(name, command(name), essential=name != "runtime") for name in ROLES]


def wired(config: Config, last: Mapping[str, Ready]) -> Config:
    """The configuration with the ports that were really taken, so that a restarted part takes them again."""
    runtime, upstream, downstream = config.runtime, config.upstream, config.downstream
    if "runtime" in last:
        runtime = replace(runtime, listen_port=last["runtime"].port)
    if "upstream" in last:
        upstream = replace(upstream, listen_port=last["upstream"].port)
        ca = last["upstream"].ca or str(Path(upstream.state_dir).expanduser() / CA_NAME)
        downstream = replace(downstream, upstream=ports.url(upstream.listen_host, upstream.listen_port), upstream_ca=ca)
        if last["upstream"].link_port:
            upstream = replace(upstream, link_port=last["upstream"].link_port)
            host = ports.reachable_host(upstream.link_host)
            downstream = replace(downstream, link_upstream=f"{host}:{upstream.link_port}")
    if "downstream" in last:
        downstream = replace(downstream, listen_port=last["downstream"].port)
    # before the runtime was ever ready its port is only known when it is configured
    address = ports.url(runtime.listen_host, runtime.listen_port) if runtime.listen_port else ""
    return replace(config, runtime=runtime, upstream=upstream, downstream=replace(downstream, runtime=address))


def ready_text(ready: Mapping[str, Ready], config: Config) -> str:
    """The ready file's content: for each part its port, pid and, for a proxy, its CA certificate; null when down."""
    told: dict[str, object] = {}
    for name in reversed(ROLES):
        part = ready.get(name)
        if part is None:
            told[name] = None
            continue
        told[name] = {"port": part.port, "pid": part.pid}
        if name != "runtime":
            told[name] = {"port": part.port, "ca": _ca(part, config, name), "pid": part.pid}
    return json.dumps(told) + "\n"


async def _run(
    config: Config,
    run_dir: Path,
    ready_file: Path | None,
    output: Callable[[str, str], None],
    read: Callable[[], Config] | None = None,
) -> None:
    stop, files = asyncio.Event(), [run_dir / "up.json", *([ready_file] if ready_file else [])]
    all_started, current = False, config

    def tell(ready: Mapping[str, Ready]) -> None:
        for file in files:
            _write(file, ready_text(ready, config))

    def changed(ready: Mapping[str, Ready]) -> None:
        try:
            if all_started:
                tell(ready)
        except OSError as error:  # a full disk is no reason to stop browsing
            _say("up", f"cannot write the ready file: {error}")

    def started() -> None:
        nonlocal all_started
        all_started = True
        tell(supervisor.ready)
        down = supervisor.ready.get("downstream")
        if down is not None:
            _say("up", f"ready: set the browser's HTTP and HTTPS proxy to {ports.url(down.host, down.port)[7:]}")
            _say("up", f"ready: let the browser trust this CA: {_ca(down, config, 'downstream')}")

    def on_signal() -> None:
        if stop.is_set():
            supervisor.kill()
        elif not stop.is_set():
            _say("up", "stopping; once more to end at once")
        stop.set()

    def on_hangup() -> None:
        nonlocal current
        if terminal.lost():
            on_signal()
            return
        try:
            if read is None:
                raise ConfigError("there is no configuration file to read again")
            current = read()
            for name in PROXIES:
                _write(run_dir / f"{name}.toml", to_toml(wired(current, supervisor.last)))
        except (ConfigError, OSError) as error:
            _say("up", f"the configuration stays as it was: {error}")
        else:
            supervisor.hang_up(PROXIES)

    terminal = Terminal()
    parts = roles(lambda: current, run_dir)
    supervisor = Supervisor(parts, run_dir, output=output, say=_say, changed=changed, limits=Limits())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    try:
        await supervisor.run(stop, started)
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def _moved(config: Config, folder: Path) -> Config:
    return replace(
        config,
        upstream=replace(config.upstream, state_dir=str(folder / "upstream")),
        downstream=replace(config.downstream, state_dir=str(folder / "downstream")),
        runtime=replace(config.runtime, state_dir=str(folder / "runtime")),
    )


def _paired(config: Config, run_dir: Path) -> Config:
    """With a token that pairs the proxies, made at the first start, unless the configuration names one."""
    if config.access.pair_file:
        return config
    file = run_dir / PAIR_FILE
    if not file.exists():
        try:
            rotate(file)
        except (TokenFileError, OSError) as error:
            fail(f"the token that pairs the proxies cannot be made: {error}")
    return replace(config, access=replace(config.access, pair_file=str(file)))


def _run_dir(config: Config) -> Path:
    """Where generated files go: beside downstream's state."""
    folder = Path(config.downstream.state_dir).expanduser().absolute().parent / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def _only_one(run_dir: Path) -> Iterator[None]:
    with (run_dir / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            other = lock.read().strip() or "unknown"
            fail(f"another `sketchwire up` (process {other}) uses {run_dir}; stop it, or give another --state-dir")
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _check_ports(config: Config) -> None:
    taken: dict[int, str] = {}
    for name in ROLES:
        part = getattr(config, name)
        if not part.listen_port:
            continue
        if part.listen_port in taken:
            fail(f"[{taken[part.listen_port]}] and [{name}] have the same listen_port {part.listen_port}", USAGE)
        taken[part.listen_port] = name
        problem = ports.why_not_bindable(part.listen_host, part.listen_port)
        if problem:
            where = f"{part.listen_host} port {part.listen_port}"
            remedy = f"stop that, or set listen_port in [{name}] (0: any free one)"
            fail(f"{name} cannot listen on {where}: {problem}; {remedy}")
    far = config.upstream
    if far.link == "h2" and (problem := ports.why_not_bindable(far.link_host, far.link_port)):
        where = f"{far.link_host} port {far.link_port}"
        fail(
            f"the link cannot listen on {where}: {problem}; stop that, or set link_port in [upstream] (0: any free one)"
        )


def _output(log_dir: Path | None) -> Callable[[str, str], None]:
    """Where the parts' lines go: standard error, prefixed, or a rotating file for each."""
    if log_dir is None:
        return _say
    log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    loggers = {}
    for name in ROLES:
        handler = logging.handlers.RotatingFileHandler(
            log_dir / f"{name}.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"
        )
        loggers[name] = logging.Logger(name)
        loggers[name].addHandler(handler)
    return lambda name, line: loggers[name].info("%s", line)


def _say(name: str, line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads any more, but the proxies must go on
        print(f"{name:<10} | {line}", file=sys.stderr, flush=True)


def _ca(part: Ready, config: Config, name: str) -> str:
    return part.ca or str(Path(getattr(config, name).state_dir).expanduser() / CA_NAME)


def _write(path: Path, text: str) -> None:
    """The whole file or none, for its owner only."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(unfinished, path)
