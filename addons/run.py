"""Builds and runs a proxy process: mitmproxy's master with our addons, from ready to drained.

In: a configuration. Out: a serving process, a ready file. Refuses: a port in use, a missing CA file, unreadable
certificates (`StartError`, which says what to do).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import signal
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from addons import errorpage
from addons.downstream import Downstream
from addons.drain import Drain
from addons.guard import TargetGuard
from addons.pagetext import PageText
from addons.tether import Tether
from addons.upstream import Upstream
from proxy import ports
from proxy.config import Config
from proxy.encode.pool import EncoderPool
from proxy.ledger import Ledger, ledger_file
from proxy.pages import PageMemory
from proxy.refetch import Refetcher
from proxy.restore import Restorer
from proxy.runtime_client import RuntimeClient
from proxy.spool import Spool
from proxy.targets import Targets
from proxy.transform import Transformer

logger = logging.getLogger("sketchwire.run")

CA_FILE = "mitmproxy-ca-cert.pem"
DRAIN_S = 10.0
UPSTREAM_ADVICE = "The site could not be reached from the upstream proxy. Try again, or check the address."
DOWNSTREAM_ADVICE = (
    "The upstream proxy cannot be reached. Check that it runs (sketchwire upstream) and that the downstream "
    "configuration names its address; then reload. Nothing was asked of the site directly."
)


class StartError(RuntimeError):
    """The proxy cannot serve; the message says why, and what to change."""


@dataclass(slots=True)
class _Parts:
    """What a role adds to mitmproxy: addons in order, and what to do when it starts."""

    addons: list[object]
    start: Callable[[AsyncExitStack], Any]


class _Lifecycle:
    """Starts a role's resources before the ready file is written and closes them at the end, in reverse."""

    def __init__(self, start: Callable[[AsyncExitStack], Any]) -> None:
        self._start = start
        self._stack = AsyncExitStack()

    async def running(self) -> None:
        await self._start(self._stack)

    async def done(self) -> None:
        await self._stack.aclose()


class _ReadyFile:
    """Tells whoever waits which port was taken."""

    def __init__(self, master: Any, path: Path | None, host: str, ca: Path) -> None:
        self._master, self._path, self._host, self._ca = master, path, host, ca

    def running(self) -> None:
        listening = self._master.addons.get("proxyserver").listen_addrs()
        port = int(listening[0][1]) if listening else 0
        logger.info("listening on %s port %d", self._host, port)
        if self._path is not None:
            told = {"host": self._host, "port": port, "pid": os.getpid(), "ca": str(self._ca)}
            _write_private(self._path, json.dumps(told).encode() + b"\n")

    def done(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def run_upstream(config: Config, ready_file: Path | None = None, drain_s: float = DRAIN_S) -> None:
    """Serve as the upstream proxy until SIGTERM or SIGINT. Raises StartError."""
    role = config.upstream
    state_dir = _private_folder(role.state_dir)
    trust = certifi.where() if not role.origin_ca else str(_combined_trust(state_dir, Path(role.origin_ca)))
    options = {
        "mode": ["regular"],
        "ssl_verify_upstream_trusted_ca": trust,
        "stream_large_bodies": str(role.max_image_bytes),  # also those of unknown length, once they get there
    }

    async def make(confdir: Path) -> _Parts:
        ledger = Ledger(ledger_file(config.ledger, state_dir), config.ledger.keep_days)
        spool = Spool(role.spool_bytes, role.spool_ttl_s, state_dir / "spool")
        pages = PageText(PageMemory(64)) if role.page_text else None
        pool = EncoderPool(role.encode_workers, role.encode_deadline_s, role.encode_memory_mib, role.encode_queue)
        guard = TargetGuard(Targets.configured(role.allow_private_targets, role.hosts))
        loop_id = "sketchwire-" + hashlib.sha256((confdir / CA_FILE).read_bytes()).hexdigest()[:12]
        addon = Upstream(
            Transformer(role, pool),
            spool,
            pages=pages,
            record=ledger.record,
            loop_id=loop_id,
            max_held=role.encode_queue + role.encode_workers,
        )

        async def start(stack: AsyncExitStack) -> None:
            stack.callback(ledger.close)
            stack.callback(spool.close)
            if pages:
                stack.callback(pages.close)
            await stack.enter_async_context(pool)

        return _Parts([guard, addon], start)

    errorpage.install(UPSTREAM_ADVICE)
    asyncio.run(_serve(role.listen_host, role.listen_port, state_dir, options, make, ready_file, drain_s))


def run_downstream(config: Config, ready_file: Path | None = None, drain_s: float = DRAIN_S) -> None:
    """Serve as the downstream proxy until SIGTERM or SIGINT. Raises StartError."""
    role = config.downstream
    state_dir = _private_folder(role.state_dir)
    ca = Path(role.upstream_ca).expanduser()
    _check_certificates(ca, "upstream_ca: copy mitmproxy-ca-cert.pem from the upstream proxy's state folder")
    options = {"mode": [f"upstream:{role.upstream.rstrip('/')}"], "ssl_verify_upstream_trusted_ca": str(ca)}

    async def make(confdir: Path) -> _Parts:
        ledger = Ledger(ledger_file(config.ledger, state_dir), config.ledger.keep_days)
        pages = PageText(PageMemory(role.page_memory)) if role.page_text else None
        runtime = RuntimeClient(role.runtime) if role.runtime else None
        restorer = Restorer(role, runtime)
        refetcher = Refetcher(role.upstream, ca)
        addon = Downstream(restorer, refetcher, pages=pages, record=ledger.record)

        async def start(stack: AsyncExitStack) -> None:
            stack.callback(ledger.close)
            if pages:
                stack.callback(pages.close)
            stack.push_async_callback(refetcher.close)
            if runtime:
                await stack.enter_async_context(runtime)
                await restorer.refresh()
                watch = asyncio.create_task(restorer.watch())
                stack.callback(watch.cancel)

        return _Parts([Tether(role.upstream), addon], start)

    errorpage.install(DOWNSTREAM_ADVICE)
    asyncio.run(_serve(role.listen_host, role.listen_port, state_dir, options, make, ready_file, drain_s))


async def _serve(
    host: str,
    port: int,
    state_dir: Path,
    options: dict[str, Any],
    make: Callable[[Path], Any],
    ready_file: Path | None,
    drain_s: float,
) -> None:
    problem = ports.why_not_bindable(host, port) if port else None
    if problem:
        raise StartError(f"cannot listen on {host} port {port}: {problem}; stop that, or choose another with --port")
    master: Any = DumpMaster(Options(), with_termlog=False, with_dumper=False)
    # only now do the options that addons declare exist, and the addons hear of changes (the CA is made here);
    # connecting lazily lets all of a browser's requests to a site share one HTTP/2 connection
    place = {"confdir": str(state_dir), "listen_host": host, "listen_port": port}
    master.options.update(connection_strategy="lazy", onboarding=False, **place, **options)
    parts: _Parts = await make(state_dir)
    drain = Drain(drain_s)
    ready = _ReadyFile(master, ready_file, host, state_dir / CA_FILE)
    master.addons.add(_Lifecycle(parts.start), *parts.addons, drain, ready)
    stopping: set[asyncio.Task[None]] = set()

    def stop() -> None:
        stopping.add(asyncio.get_running_loop().create_task(drain.stop(master)))

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await master.run()
    except SystemExit as error:  # mitmproxy's errorcheck, after logging why
        raise StartError("mitmproxy could not start; the lines above say why") from error


def _private_folder(name: str) -> Path:
    """The role's state folder, readable by its user only: the CA's private key is in it."""
    folder = Path(name).expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise StartError(f"state_dir {folder} cannot be used: {error.strerror}; choose another") from error
    return folder


def _combined_trust(state_dir: Path, extra: Path) -> Path:
    """A file with the public authorities and the operator's own: mitmproxy's option replaces the public ones."""
    extra = extra.expanduser()
    _check_certificates(extra, "origin_ca: a PEM file with the certificates to add")
    combined = state_dir / "origin-trust.pem"
    _write_private(combined, Path(certifi.where()).read_bytes() + b"\n" + extra.read_bytes())
    return combined


def _check_certificates(file: Path, advice: str) -> None:
    try:
        ssl.create_default_context(cafile=str(file))
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"{file} cannot be used ({error.strerror or error}); {advice}") from error


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its user can read, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)
    draft.replace(path)
