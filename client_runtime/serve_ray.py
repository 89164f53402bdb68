"""The runtime's HTTP API on Ray Serve: copies of the engine on several GPUs and machines, behind one address.

In: a `RuntimeConfig` and a `ScaleConfig`. Out: a Ray Serve application with the routes, headers and statuses of
`service.api`. Refuses: as that does; what Serve itself turns away when every copy has enough to do is a 503, too.

Ray does the scheduling: which copy gets a request (`max_ongoing_requests`), how many wait (`max_queued_requests`), what
is drawn together (`serve.batch`), how many copies run (autoscaling), whether one is healthy, and in which order copies
are replaced in an upgrade. Each copy is a `Service` with its own engine thread and its own folder for the cache.
"""

from __future__ import annotations

import os
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from client_runtime.serve_replica import DRAIN_S, HEALTH_LIMIT_S, MakeEngine, Replica
from proxy.config import RuntimeConfig, ScaleConfig

HEALTH_EVERY_S = 5.0
OBJECT_STORE_BYTES = 80 * 1024 * 1024  # requests and answers do not pass through it


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


__all__ = ["Replica", "application", "register", "start"]
