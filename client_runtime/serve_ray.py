"""The runtime's HTTP API on Ray Serve: copies of the engine on several GPUs and machines, behind one address.

In: a `RuntimeConfig` and a `ScaleConfig`. Out: a Ray Serve application with the routes, headers and statuses of
`service.api`. Refuses: as that does; what Serve itself turns away when every copy has enough to do is a 503, too.

Ray does the scheduling: which copy gets a request (`max_ongoing_requests`), how many wait (`max_queued_requests`), what
is drawn together (`serve.batch`), how many copies run (autoscaling), whether one is healthy, and in which order copies
are replaced in an upgrade. Each copy is a `Service` with its own engine thread and its own folder for the cache.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from aiohttp import web
from multidict import CIMultiDict

from client_runtime import engines
from client_runtime.engines.base import Engine
from client_runtime.service.api import Service, guarded
from client_runtime.service.batch import DeadlinePassed, Draining, Limits, QueueFull, Ticket
from client_runtime.service.draw import Outcome
from client_runtime.service.work import Job, Result, Workshop
from proxy.config import RuntimeConfig, ScaleConfig

BATCHES_IN_HAND = 2
HEALTH_EVERY_S, HEALTH_LIMIT_S, DRAIN_S = 5.0, 20.0, 20.0
OBJECT_STORE_BYTES = 80 * 1024 * 1024  # requests and answers do not pass through it

MakeEngine = Callable[[RuntimeConfig], Engine]
Drawn = tuple[Outcome, float]


class ServeQueue:
    """A `service.work.Queue` whose batches are made by `serve.batch`."""

    def __init__(
        self,
        draw: Callable[[Sequence[Job]], Sequence[Drawn]],
        finish: Callable[[Job, Drawn], Result],
        limits: Limits,
        worker: Executor,
        finishers: Executor,
    ) -> None:
        self._draw, self._finish, self._limits = draw, finish, limits
        self._worker, self._finishers = worker, finishers
        self._under_way: dict[asyncio.Task[None], Ticket[Job, Result]] = {}
        self._closing = False
        self.batches = self.largest_batch = 0

    @property
    def waiting(self) -> int:
        """Jobs that wait and whose clients still do."""
        return sum(t.started_s is None and not t.future.done() for t in self._under_way.values())

    def start(self) -> None:
        """Wrap the batch function; needs a running event loop."""
        from ray import serve

        limits = self._limits
        self._batched: Any = serve.batch(
            max_batch_size=limits.batch_size,
            batch_wait_timeout_s=limits.batch_wait_s,
            max_concurrent_batches=BATCHES_IN_HAND,
        )(self._run)

    def submit(self, job: Job, deadline_s: float, weight: int = 1) -> Ticket[Job, Result]:
        """Queue `job`. `deadline_s` is a time of the event loop's clock. Raises QueueFull or Draining."""
        if self._closing:
            raise Draining
        if self.waiting >= self._limits.queue_size:
            raise QueueFull
        loop = asyncio.get_running_loop()
        ticket: Ticket[Job, Result] = Ticket(job, deadline_s, weight, loop.time(), loop.create_future())
        task = asyncio.create_task(self._wait(ticket))
        self._under_way[task] = ticket
        task.add_done_callback(self._under_way.pop)
        return ticket

    async def close(self, limit_s: float) -> bool:
        """Take nothing new, do what waits for at most `limit_s`, drop the rest. True when nothing was dropped."""
        self._closing = True
        if not self._under_way:
            return True
        _, late = await asyncio.wait(set(self._under_way), timeout=limit_s)
        for task in late:
            _fail(self._under_way[task], Draining())
            task.cancel()
        return not late

    async def _wait(self, ticket: Ticket[Job, Result]) -> None:
        try:
            await self._batched(ticket)
        except Exception as error:
            _fail(ticket, error)

    async def _run(self, tickets: list[Ticket[Job, Result]]) -> list[None]:
        """One batch: those still wanted are drawn in the engine's thread, in parts that fit into its memory."""
        loop = asyncio.get_running_loop()
        for part in _parts(tickets, self._limits.batch_weight):
            now_s, wanted = loop.time(), []
            for ticket in part:
                if ticket.future.done() or ticket.deadline_s <= now_s:
                    _fail(ticket, DeadlinePassed())
                else:
                    ticket.started_s = now_s
                    wanted.append(ticket)
            if not wanted:
                continue
            self.batches += 1
            self.largest_batch = max(self.largest_batch, len(wanted))
            try:
                drawn = await loop.run_in_executor(self._worker, self._draw, [ticket.job for ticket in wanted])
                await asyncio.gather(*(self._end(t, d) for t, d in zip(wanted, drawn, strict=True)))
            except Exception as error:  # costs its own batch, not the queue
                for ticket in wanted:
                    _fail(ticket, error)
        return [None] * len(tickets)

    async def _end(self, ticket: Ticket[Job, Result], drawn: Drawn) -> None:
        result = await asyncio.get_running_loop().run_in_executor(self._finishers, self._finish, ticket.job, drawn)
        if not ticket.future.done():
            ticket.future.set_result(result)


class Asked:
    """What `Service` reads of an aiohttp request, from a Starlette one."""

    def __init__(self, request: Any) -> None:
        self.headers = CIMultiDict((name, value) for name, value in request.headers.items())
        length = self.headers.get("Content-Length", "")
        self.content_length = int(length) if length.isascii() and length.isdigit() else None
        self.content = self
        self._chunks: AsyncIterator[bytes] = request.stream()

    async def readany(self) -> bytes:
        """The next part of the body; empty at its end."""
        async for chunk in self._chunks:
            if chunk:
                return chunk
        return b""


class Replica:
    """One copy of the engine and its HTTP API; Ray makes it, in a process of its own."""

    def __init__(self, settings: dict[str, Any], make_engine: MakeEngine | None, prefix: str) -> None:
        config = RuntimeConfig(**settings)
        # a folder of its own: the cache counts its size in memory, so that two processes would exceed the limit
        own = Path(config.state_dir).expanduser() / f"replica-{os.getpid()}"
        config = replace(config, state_dir=str(own))
        make = make_engine or engines.create
        self._service = Service(config, lambda: make(config))
        self._service.workshop = Workshop(config, lambda: make(config), ServeQueue)
        self._prefix = prefix.rstrip("/")
        self._started = asyncio.Lock()
        self._ready = False
        self._routes: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("POST", "/v1/reconstruct"): self._service.reconstruct,
            ("GET", "/v1/capabilities"): self._service.capabilities,
            ("GET", "/healthz"): self._service.health,
            ("GET", "/metrics"): self._service.metrics,
        }

    async def check_health(self) -> None:
        """Ray asks this before a copy gets its first request and then regularly; raises when the engine hangs."""
        async with self._started:
            if not self._ready:
                await self._service.workshop.start()
                self._ready = True
        if self._service.workshop.stuck_s() > HEALTH_LIMIT_S + self._service.config.deadline_s:
            raise RuntimeError("the engine has drawn the same batch for too long")

    async def __call__(self, request: Any) -> Any:
        """Answer one request."""
        from starlette.responses import Response

        if not self._ready:
            await self.check_health()
        path = request.url.path.removeprefix(self._prefix)
        handler = self._routes.get((request.method, path))
        if handler is None:
            methods = [method for method, known in self._routes if known == path]
            answer = web.json_response({"error": "method not allowed" if methods else "not found"})
            answer.set_status(405 if methods else 404)
            if methods:
                answer.headers["Allow"] = ", ".join(methods)
        else:
            answer = cast(web.Response, await guarded(self._service, Asked(request), handler))
        body = answer.body if isinstance(answer.body, bytes) else b""
        return Response(body, answer.status, headers=dict(answer.headers) | {"Content-Type": answer.content_type})

    async def __del__(self) -> None:
        """Ray calls this when the copy is taken out of service, after the requests in hand were answered."""
        self._service.draining = True
        if self._ready:
            await self._service.workshop.close(DRAIN_S / 2)


def application(config: RuntimeConfig, scale: ScaleConfig, make_engine: MakeEngine | None = None) -> Any:
    """The Serve application, to be given to `serve.run`. `make_engine` stands in for the engine that `config` names."""
    from ray import serve

    ongoing = max(scale.ongoing, 2 * config.batch_size)
    options: dict[str, Any] = {
        "name": "runtime",
        "max_ongoing_requests": ongoing,
        "max_queued_requests": config.queue_size,
        "health_check_period_s": HEALTH_EVERY_S,
        "health_check_timeout_s": HEALTH_LIMIT_S * 3,
        "graceful_shutdown_timeout_s": DRAIN_S,
        "ray_actor_options": {"num_cpus": scale.cpus, "num_gpus": scale.gpus},
    }
    if scale.most_replicas > scale.replicas:
        options["autoscaling_config"] = {
            "min_replicas": scale.replicas,
            "max_replicas": scale.most_replicas,
            "target_ongoing_requests": scale.ongoing,
        }
    else:
        options["num_replicas"] = scale.replicas
    deployment: Any = serve.deployment(Replica)
    return deployment.options(**options).bind(asdict(config), make_engine, scale.route)


def start(config: RuntimeConfig, scale: ScaleConfig, make_engine: MakeEngine | None = None, cpus: int = 0) -> str:
    """Deploy on the Ray cluster that RAY_ADDRESS names, or on one of this machine alone; the URL before /v1.

    `cpus` limits what a cluster of this machine may use (0: all cores). Deploying again under the same application
    name replaces copies one after the other, each after its requests in hand.
    """
    import ray
    from ray import serve

    if not ray.is_initialized():
        own: dict[str, Any] = {}
        if not os.environ.get("RAY_ADDRESS"):
            own = {"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
            own |= {"num_cpus": cpus} if cpus else {}
        ray.init(log_to_driver=False, **own)
    serve.start(proxy_location="HeadOnly", http_options={"host": config.listen_host, "port": config.listen_port})
    serve.run(application(config, scale, make_engine), name=scale.application, route_prefix=scale.route)
    return f"http://{config.listen_host}:{config.listen_port}{scale.route.rstrip('/')}"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("serve")(serve_command)


def serve_command(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="TOML file: its tables runtime, scale.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    engine: Annotated[str | None, typer.Option(help="auto, preview, sketch or diffusion.")] = None,
    state_dir: Annotated[str | None, typer.Option(help="Folder for the caches of reconstructions.")] = None,
    replicas: Annotated[int | None, typer.Option(min=1, help="Copies of the engine that always run.")] = None,
    cpus: Annotated[int, typer.Option(min=0, help="Cores of this machine that Ray may use; 0: all.")] = 0,
    ready_file: Annotated[Path | None, typer.Option(help="Write {host, port, pid} here, once it serves.")] = None,
    once: Annotated[bool, typer.Option("--detach", help="Deploy on the cluster of RAY_ADDRESS and leave.")] = False,
) -> None:
    """Run the reconstruction runtime on Ray Serve: several copies, several GPUs, several machines."""
    import json
    import signal

    from proxy.config import ConfigError, load

    given = {"listen_host": host, "listen_port": port, "engine": engine, "state_dir": state_dir}
    try:
        settings = load(
            config,
            {
                "runtime": {name: value for name, value in given.items() if value is not None},
                "scale": {} if replicas is None else {"replicas": replicas},
            },
        )
        if settings.runtime.listen_port == 0:
            raise ConfigError("Ray Serve needs a port of its own: set listen_port in [runtime]")
        url = start(settings.runtime, settings.scale, cpus=cpus)
    except ConfigError as error:
        typer.secho(f"sketchwire: {error}", err=True, fg=typer.colors.RED)
        raise typer.Exit(2) from error
    except ImportError as error:
        typer.secho(f"sketchwire: {error}; pip install 'sketchwire[scale]'", err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from error
    typer.echo(f"serving on {url}")
    if ready_file is not None:
        told = {"host": settings.runtime.listen_host, "port": settings.runtime.listen_port, "pid": os.getpid()}
        with tempfile.NamedTemporaryFile("w", dir=ready_file.parent, delete=False) as unfinished:
            unfinished.write(json.dumps(told))
        os.replace(unfinished.name, ready_file)
    if once:
        return
    from ray import serve

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # after ray.init, whose own handler would abort the process
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(0.5):
        pass
    cast(Any, serve).shutdown()
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)


def _parts(tickets: Sequence[Ticket[Job, Result]], most_weight: int) -> list[list[Ticket[Job, Result]]]:
    """`tickets` in order, cut where a part would weigh too much; a part has at least one."""
    parts: list[list[Ticket[Job, Result]]] = []
    weight = 0
    for ticket in tickets:
        weight += ticket.weight
        if not parts or weight > most_weight:
            parts.append([])
            weight = ticket.weight
        parts[-1].append(ticket)
    return parts


def _fail(ticket: Ticket[Job, Result], error: Exception) -> None:
    if not ticket.future.done():
        ticket.future.set_exception(error)


__all__ = ["Replica", "ServeQueue", "application", "register", "start"]
