"""The runtime's commands: `sketchwire runtime` and `sketchwire decode`.

In: command lines. Out: a serving process, or image files and a line about each.
Refuses: with exit status 1 what cannot be decoded or served, with 2 what was asked wrongly; never with a traceback.
"""

from __future__ import annotations

import json
import logging
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from client_runtime.decode import Draw, Record
    from proxy.config import RuntimeConfig

FAILED, USAGE = 1, 2
ENGINE_HELP = "auto, preview, sketch or diffusion."
PROFILE_HELP = "Model profile of the diffusion engine: a name, a .toml file or a folder; implies --engine diffusion."
ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="TOML file; its table `runtime` is used.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`. Everything heavy is imported when a command runs."""
    app.command("runtime")(runtime)
    app.command("decode")(decode)


def runtime(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")] = None,
    engine: Annotated[str | None, typer.Option(help=ENGINE_HELP)] = None,
    profile: Annotated[str | None, typer.Option(help=PROFILE_HELP)] = None,
    state_dir: Annotated[str | None, typer.Option(help="Folder for the cache of reconstructions.")] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Write {port, pid, …} here, once the port listens.")] = None,
    drain_s: Annotated[float, typer.Option(min=0, help="Seconds to finish work in hand after SIGTERM.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON once the port listens.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log a line for every image.")] = False,
) -> None:
    """Run the reconstruction runtime, the process that draws images again."""
    from client_runtime.service.server import StartError, run

    engine = _engine_for(profile, engine)
    given = {"listen_host": host, "listen_port": port, "engine": engine, "profile": profile, "state_dir": state_dir}
    settings = _settings(config, **given)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    logging.getLogger("sketchwire.runtime").setLevel(logging.INFO)
    logging.getLogger("sketchwire.runtime.images").setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        status = run(settings, announce=as_json, ready_file=ready_file, drain_s=drain_s)
    except StartError as error:
        raise _stop(str(error), FAILED) from error
    except KeyboardInterrupt:  # before the engine was ready
        raise typer.Exit(130) from None
    raise typer.Exit(status)


def decode(
    source: Annotated[Path, typer.Argument(help="A bundle (.swb), or a folder of them.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The image file (.png, .jpg, .webp), or a folder.")],
    engine: Annotated[str | None, typer.Option(help=f"{ENGINE_HELP} Runs in this process.")] = None,
    profile: Annotated[str | None, typer.Option(help=PROFILE_HELP)] = None,
    runtime_url: Annotated[str | None, typer.Option("--runtime", help="URL of a runtime to ask instead.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Words for the picture, before those in the bundle.")] = None,
    suffix: Annotated[str, typer.Option("--format", help="For folders: png, jpg or webp.")] = "png",
    quality: Annotated[int, typer.Option(min=1, max=100, help="Quality of .jpg and .webp files.")] = 90,
    deadline_s: Annotated[float, typer.Option(min=0.05, help="Seconds to wait for --runtime.")] = 60.0,
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing images.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each image.")] = False,
) -> None:
    """Draw the image of a bundle file, or of every bundle in a folder."""
    from client_runtime import decode as decoding
    from client_runtime.engines.base import EngineUnavailable

    logging.basicConfig(format="%(message)s")
    logging.getLogger("sketchwire.runtime").setLevel(logging.ERROR)  # the engine's name is in every line anyway
    suffix = "." + suffix.lower().lstrip(".")
    pairs = _pairs(source, output, suffix, force)
    engine = _engine_for(profile, engine)
    if engine is not None and runtime_url is not None:
        raise _stop("--engine chooses an engine in this process, --runtime one elsewhere: give one of them", USAGE)
    if runtime_url is not None and not runtime_url.startswith(("http://", "https://")):
        raise _stop(f"--runtime {runtime_url}: must start with http:// or https://", USAGE)
    drawing: AbstractContextManager[Draw]
    if runtime_url is not None:
        drawing = decoding.at_runtime(runtime_url, prompt, quality, deadline_s)
    else:
        settings = _settings(config, engine=engine, profile=profile)
        drawing = decoding.in_process(settings, prompt, quality, _warn)
    try:
        with drawing as draw_file:
            done = _decode_all(pairs, draw_file, as_json, progress=source.is_dir() and not as_json)
    except EngineUnavailable as error:
        raise _stop(str(error), USAGE) from error
    if done < len(pairs):
        if source.is_dir():
            typer.echo(f"{done} of {len(pairs)} bundles decoded", err=True)
        raise typer.Exit(FAILED)


def _decode_all(pairs: list[tuple[Path, Path]], draw_file: Draw, as_json: bool, progress: bool) -> int:
    """Decode each pair, tell about it; how many succeeded."""
    from rich.console import Console
    from rich.progress import track

    from client_runtime.decode import DecodeFailed, decode
    from client_runtime.remote import RemoteFailed
    from proxy.bundle import BundleError

    console = Console(stderr=True)
    done = 0
    for source, target in track(pairs, "Drawing", console=console, disable=not progress, transient=True):
        try:
            record = decode(source, target, draw_file)
        except (BundleError, DecodeFailed, RemoteFailed) as error:
            _tell(f"{source}: {error}", {"file": str(source), "error": str(error)}, as_json)
        except OSError as error:
            message = f"{error.filename or source}: {error.strerror or error}"
            _tell(message, {"file": str(source), "error": message}, as_json)
        else:
            done += 1
            if as_json:
                typer.echo(json.dumps(asdict(record), ensure_ascii=False))
            elif not progress:
                typer.echo(_sentence(record))
    return done


def _tell(message: str, record: dict[str, str], as_json: bool) -> None:
    """Trouble with one bundle: on standard error, and as a record where records are read."""
    typer.secho(f"sketchwire: {message}", err=True, fg=typer.colors.RED)
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))


def _sentence(record: Record) -> str:
    drawn = f"{record.width_px}×{record.height_px} px from {record.bytes_in} bytes by {record.engine}"
    fallback = f" (fallback: {record.fallback})" if record.fallback else ""
    return f"{record.output}: {drawn}{fallback}, {record.decode_ms:.0f} ms"


def _pairs(source: Path, output: Path, suffix: str, force: bool) -> list[tuple[Path, Path]]:
    """What to decode and where to, or the end of the command."""
    from client_runtime.decode import BUNDLE_SUFFIX, MEDIA_TYPES, outputs

    known = ", ".join(MEDIA_TYPES)
    if not source.exists():
        raise _stop(f"{source}: no such file or folder", USAGE)
    if source.is_dir():
        if suffix not in MEDIA_TYPES:
            raise _stop(f"--format {suffix[1:]}: must be one of {known}", USAGE)
        if output.exists() and not output.is_dir():
            raise _stop(f"{output}: must be a folder, as {source} is one", USAGE)
    elif output.is_dir():
        output = output / f"{source.stem}{suffix}"
    if not source.is_dir() and output.suffix.lower() not in MEDIA_TYPES:
        raise _stop(f"{output}: the file's name must end with one of {known}", USAGE)
    pairs = outputs(source, output, suffix)
    if not pairs:
        raise _stop(f"{source}: no {BUNDLE_SUFFIX} files in this folder", USAGE)
    existing = [target for _, target in pairs if target.exists()]
    if existing and not force:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise _stop(f"{existing[0]}{more} exists; --force overwrites", USAGE)
    return pairs


def _engine_for(profile: str | None, engine: str | None) -> str | None:
    """The engine that the options name; a profile is the diffusion engine's."""
    if profile is not None and engine not in (None, "diffusion"):
        raise _stop(f"--profile is for the diffusion engine, and --engine {engine} has none: leave one out", USAGE)
    return engine if profile is None else "diffusion"


def _warn(message: str) -> None:
    typer.secho(f"sketchwire: {message}", err=True, fg=typer.colors.YELLOW)


def _settings(path: Path | None, **overrides: Any) -> RuntimeConfig:
    """The [runtime] table of `path` with what the command line gave, or the end of the command."""
    from proxy.config import ConfigError, load

    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = load(path, {"runtime": given}).runtime
    except ConfigError as error:
        raise _stop(str(error), USAGE) from error
    return settings


def _stop(message: str, status: int) -> typer.Exit:
    typer.secho(f"sketchwire: {message}", err=True, fg=typer.colors.RED)
    return typer.Exit(status)
