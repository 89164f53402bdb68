"""The runtime as a process: bind, make the engine, say that it is ready, serve, drain, leave.

In: a `RuntimeConfig`. Out: a listening port, told in a line of JSON and a file on request; an exit status.
Refuses: a port in use or an engine that cannot work, with one line that says what to do (`StartError`).

The port is bound before the engine is made, so that a port in use is known at once; it listens after, so that a
client never waits for weights to load. The first SIGTERM or SIGINT drains (work in hand is finished, for a limited
time), a second one ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from client_runtime import engines
from client_runtime.engines.base import Engine, EngineUnavailable
from client_runtime.service.api import MAX_HEADER_BYTES, Service, create_app
from proxy.config import RuntimeConfig
from proxy.shared.heap import bound_heaps

DRAIN_S = 10.0
BACKLOG = 512

_log = logging.getLogger("sketchwire.runtime")


class StartError(RuntimeError):
    """The process cannot serve; the message says why, and what to change."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What a process that waits for the runtime needs to know."""

    host: str
    port: int
    pid: int
    engine: str

    def json(self) -> str:
        """One line."""
        return json.dumps({"ready": True, "host": self.host, "port": self.port, "pid": self.pid, "engine": self.engine})


def run(
    config: RuntimeConfig, *, announce: bool = False, ready_file: Path | None = None, drain_s: float = DRAIN_S
) -> int:
    """Serve until SIGTERM or SIGINT; 0 when all work in hand was finished, else the process ends here with 1.

    `announce` prints a line of JSON to standard output once the port listens; `ready_file` gets the same, atomically,
    and is removed at the end. Raises StartError.
    """

    bound_heaps()
    written = False

    def ready(facts: Ready) -> None:
        nonlocal written
        _log.info("engine %s listens on %s port %d", facts.engine, facts.host, facts.port)
        if ready_file is not None:
            _write(ready_file, facts.json())
            written = True
        if announce:
            print(facts.json(), flush=True)

    try:
        clean = asyncio.run(_until_signalled(config, ready, drain_s))
    finally:
        if ready_file is not None and written:
            ready_file.unlink(missing_ok=True)
    if not clean:  # a hanging engine thread would keep the interpreter from leaving
        _log.error("work was dropped: it took longer than %g s to finish", drain_s)
        logging.shutdown()
        sys.stdout.flush()
        os._exit(1)
    return 0


@contextlib.asynccontextmanager
async def serving(
    config: RuntimeConfig, make_engine: Callable[[], Engine] | None = None, drain_s: float = DRAIN_S
) -> AsyncIterator[tuple[Ready, Service]]:
    """The service on its port, for as long as the context lasts; it drains on leaving. Raises StartError."""
    with _bound(config.listen_host, config.listen_port) as listener:
        service = Service(config, make_engine or (lambda: engines.create(config)))
        runner = web.AppRunner(
            create_app(service, drain_s),
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            max_field_size=MAX_HEADER_BYTES,
            shutdown_timeout=drain_s,
            lingering_time=1.0,
        )
        try:
            await runner.setup()
        except EngineUnavailable as error:
            raise StartError(str(error)) from error
        try:
            try:
                await web.SockSite(runner, listener, backlog=BACKLOG).start()
            except OSError as error:  # another process bound the port too, and listened first
                raise StartError(_why_not_bound(error, config.listen_host, config.listen_port)) from error
            host, port = listener.getsockname()[:2]
            yield Ready(host, port, os.getpid(), service.workshop.capabilities.label), service
        finally:
            await runner.cleanup()


async def _until_signalled(config: RuntimeConfig, ready: Callable[[Ready], None], drain_s: float) -> bool:
    """Serve until the first signal. True when nothing was dropped."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    async with serving(config, drain_s=drain_s) as (facts, service):
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        ready(facts)
        await stop.wait()
        _log.info("going down: finishing the work in hand")
    return service.drained_cleanly


@contextlib.contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound to the address, not yet listening. Raises StartError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise StartError(
            f"cannot listen on {host}: {error.strerror}; set listen_host in [runtime] to an own address"
        ) from error
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        try:
            listener.bind(address)
        except OSError as error:
            raise StartError(_why_not_bound(error, host, port)) from error
        yield listener


def _why_not_bound(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        hint = "is another runtime running? stop it, or choose another port with --port or listen_port in [runtime]"
        return f"port {port} of {host} is in use: {hint}"
    if error.errno == errno.EACCES:
        return f"port {port} of {host} needs more rights; choose one above 1023 with --port or listen_port in [runtime]"
    return f"cannot listen on {host} port {port}: {error.strerror}"


def _write(path: Path, text: str) -> None:
    """The whole file or none. Raises StartError."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text + "\n", encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        raise StartError(f"cannot write the ready file {path}: {error.strerror}") from error
