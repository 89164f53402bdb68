"""`sketchwire models`: the diffusion engine's weights, listed, fetched, verified and removed.

In: command lines. Out: tables, progress bars, files in the hub's cache. Refuses: to download before the licences were
shown and accepted, and to delete without being told so; exit status 1 when something is missing or damaged, 2 when
it was asked wrongly.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from client_runtime.engines.diffusion.profile import Profile
    from client_runtime.models.manifest import Manifest
    from client_runtime.models.plan import Plan

FAILED, USAGE = 1, 2
ProfileArgument = Annotated[
    str, typer.Argument(metavar="PROFILE", help="A profile's name, its TOML file, or a folder with profile.toml in it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]

group = typer.Typer(
    help="Weights of the diffusion engine: list, fetch, verify, remove.", no_args_is_help=True, add_completion=False
)


def register(app: typer.Typer) -> None:
    """Add the group of commands. Everything heavy is imported when one runs."""
    app.add_typer(group, name="models")


@group.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the model profiles, what they need, and whether their weights are here."""
    from client_runtime.engines.diffusion.profile import profiles
    from client_runtime.models.store import missing

    rows = [(profile, missing(profile)) for profile in profiles()]
    if as_json:
        typer.echo(json.dumps([_object(profile, lacks) for profile, lacks in rows], ensure_ascii=False, indent=2))
        return
    table = Table()
    for column, justify in (("profile", "left"), ("what it is", "left"), ("download", "right"), ("memory", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    table.add_column("licence")
    table.add_column("here")
    for profile, lacks in rows:
        sizes = (_mib(profile.download_mib), _mib(profile.memory_mib))
        here = "[green]yes[/green]" if lacks is None else "no"
        table.add_row(profile.id, escape(profile.title), *sizes, escape(profile.licence.spdx), here)
    Console().print(table)
    typer.echo("Fetch one with: sketchwire models pull PROFILE")


@group.command("pull")
def pull(
    profile: ProfileArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licences and download.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show licences, files and sizes, and stop.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Download a profile's weights, after showing their licences and sizes; go on where an earlier pull stopped."""
    from client_runtime.engines.diffusion.profile import load_profile
    from client_runtime.models.hub import Hub
    from client_runtime.models.manifest import load, manifest_path, save
    from client_runtime.models.store import missing, outdated, plan_of, record

    chosen, hub = load_profile(profile), Hub()
    lacks = missing(chosen)
    if lacks is None and not dry_run:
        path = manifest_path(chosen.id)
        known = load(path)
        if known is None or outdated(known, chosen):
            known = record(chosen)
            save(known, path)
        _tell_pulled(profile, known, as_json, "is here already")
        return
    if all(part.weights.local is not None for part in chosen.parts()):
        raise _stop(f"{lacks}; the profile names local folders only, so there is nothing to fetch", FAILED)
    if hub.offline:
        raise _stop(
            f"{lacks}; HF_HUB_OFFLINE forbids downloads: unset it, or copy the cache of another machine", FAILED
        )
    plan = plan_of(chosen, hub)
    if not as_json:
        _show(plan, hub.cache)
    if dry_run:
        if as_json:
            typer.echo(json.dumps(_plan_object(plan), ensure_ascii=False, indent=2))
        return
    if not yes and not typer.confirm(
        f"Accept the licences and download {_size(plan.size_bytes)}?", default=False, err=True
    ):
        raise _stop("nothing was downloaded", FAILED)
    manifest = _fetch(plan, hub)
    save(manifest, manifest_path(chosen.id))
    _tell_pulled(profile, manifest, as_json, "is ready")


@group.command("verify")
def verify(
    profile: ProfileArgument,
    record: Annotated[bool, typer.Option("--record", help="Record the digests of the files as they are now.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read every file of a profile and compare it with the digests that were recorded; makes no request."""
    from client_runtime.engines.diffusion.profile import load_profile
    from client_runtime.models import store
    from client_runtime.models.hub import Hub
    from client_runtime.models.manifest import State, load, manifest_path, save

    chosen, hub = load_profile(profile), Hub()
    path = manifest_path(chosen.id)
    if record:
        save(store.record(chosen), path)
    manifest = load(path)
    lacks = store.missing(chosen)
    if manifest is None:
        hint = lacks or f"its files are here, but no digests were recorded: sketchwire models verify {profile} --record"
        raise _stop(f"{chosen.id}: {hint}", FAILED)
    total = sum(entry.size_bytes for entry in manifest.entries)
    with _Bar(total, "Reading") as on_bytes:
        found = store.verify(manifest, hub, on_bytes)
    bad = [(entry, state) for entry, state in found if state is not State.OK]
    stale = store.outdated(manifest, chosen)
    if as_json:
        files = [{"role": e.role, "repo": e.repo, "path": e.path, "state": s.value} for e, s in found]
        typer.echo(json.dumps({"profile": chosen.id, "outdated": stale, "files": files}, ensure_ascii=False, indent=2))
    else:
        for entry, state in bad:
            typer.echo(f"{state.value}: {entry.repo}: {entry.path}")
        if not bad:
            typer.echo(f"{chosen.id}: {len(found)} files, {_size(total)}, all as recorded")
    if stale:
        raise _stop(f"{chosen.id} names other repositories or revisions now: sketchwire models pull {profile}", FAILED)
    if bad:
        raise _stop(
            f"{len(bad)} of {len(found)} files are damaged; sketchwire models pull {profile} mends them", FAILED
        )
    if lacks is not None:
        raise _stop(lacks, FAILED)


@group.command("rm")
def rm(
    profile: ProfileArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a profile's weights from the hub's cache, except what another profile that is here needs."""
    from client_runtime.engines.diffusion.profile import load_profile, profiles
    from client_runtime.models.hub import Hub
    from client_runtime.models.manifest import manifest_path
    from client_runtime.models.store import removal, remove

    chosen, hub = load_profile(profile), Hub()
    planned = removal(chosen, profiles(), hub)
    for where, why in planned.kept:
        typer.echo(f"stays: {where} ({why})")
    for repo, commit in planned.revisions:
        typer.echo(f"goes: {repo} at {commit[:12]}")
    if planned.revisions:
        typer.echo(f"{_size(planned.freed_bytes)} of {hub.cache}, which other programs use too")
        if not yes and not typer.confirm("Remove them?", default=False, err=True):
            raise _stop("nothing was removed", FAILED)
        remove(planned, hub)
    manifest_path(chosen.id).unlink(missing_ok=True)
    typer.echo(f"{chosen.id}: removed" if planned.revisions else f"{chosen.id}: nothing of it is in {hub.cache}")


def _fetch(plan: Plan, hub: Any) -> Manifest:
    from client_runtime.models.store import fetch

    with _Bar(plan.size_bytes, "Fetching") as on_bytes:
        return fetch(plan, hub, lambda wanted: on_bytes.naming(wanted.file.path), on_bytes)


def _show(plan: Plan, cache: Path) -> None:
    """Licences first, then files and sizes."""
    console = Console(stderr=True)
    licence = plan.profile.licence
    console.print(f"[bold]{escape(plan.profile.title)}[/bold]", highlight=False)
    console.print(f"Licence: {escape(licence.name)} ({escape(licence.spdx)})", highlight=False, soft_wrap=True)
    console.print(f"         {escape(licence.url)}", highlight=False, soft_wrap=True)
    if licence.note:
        console.print(f"         {escape(licence.note)}", highlight=False, soft_wrap=True)
    table = Table()
    for column in ("repository", "commit", "licence on its page", "files"):
        table.add_column(column)
    table.add_column("size", justify="right")
    for listing in plan.listings:
        files = [wanted.file for wanted in plan.files if wanted.repo == listing.repo]
        said = f"{listing.licence or 'none stated'}{', gated' if listing.gated else ''}"
        pinned = "" if listing.revision == listing.commit else f" ({listing.revision})"
        size = _size(sum(file.size_bytes for file in files))
        table.add_row(listing.repo, f"{listing.commit[:12]}{escape(pinned)}", escape(said), str(len(files)), size)
    console.print(table)
    console.print(f"To {cache}; {_size(_free_bytes(cache))} are free there", highlight=False, soft_wrap=True)
    for listing in plan.listings:
        if listing.revision != listing.commit:
            note = f'{listing.repo} is not pinned; in a copy of the profile write: revision = "{listing.commit}"'
            console.print(f"[dim]{escape(note)}[/dim]", highlight=False, soft_wrap=True)


def _tell_pulled(named: str, manifest: Manifest, as_json: bool, how: str) -> None:
    size = sum(entry.size_bytes for entry in manifest.entries)
    if as_json:
        found = {"profile": manifest.profile, "files": len(manifest.entries), "bytes": size}
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    typer.echo(f"{manifest.profile} {how}: {len(manifest.entries)} files, {_size(size)}")
    typer.echo(f"Use it with: sketchwire runtime --profile {named}")


def _object(profile: Profile, lacks: str | None) -> dict[str, Any]:
    licence = profile.licence
    return {
        "profile": profile.id,
        "title": profile.title,
        "steps": profile.steps,
        "download_mib": profile.download_mib,
        "memory_mib": profile.memory_mib,
        "licence": {"spdx": licence.spdx, "name": licence.name, "url": licence.url, "note": licence.note},
        "here": lacks is None,
        "missing": lacks,
    }


def _plan_object(plan: Plan) -> dict[str, Any]:
    files = [
        {
            "role": wanted.role,
            "repo": wanted.repo,
            "commit": wanted.commit,
            "path": wanted.file.path,
            "bytes": wanted.file.size_bytes,
            "sha256": wanted.file.sha256,
        }
        for wanted in plan.files
    ]
    licence = plan.profile.licence
    terms = {"spdx": licence.spdx, "name": licence.name, "url": licence.url}
    return {"profile": plan.profile.id, "licence": terms, "bytes": plan.size_bytes, "files": files}


class _Bar:
    """A progress bar on standard error, in a terminal only: call it with bytes, `naming` shows which file it is."""

    def __init__(self, total_bytes: int, what: str) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._progress.add_task(what, total=total_bytes)
        self._what = what

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def __call__(self, size_bytes: int) -> None:
        self._progress.advance(self._task, size_bytes)

    def naming(self, path: str) -> None:
        self._progress.update(self._task, description=f"{self._what} {path}")


def _free_bytes(folder: Path) -> int:
    """What is free on the disk of `folder`, or of the first folder above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _mib(mib: int) -> str:
    return _size(mib << 20) if mib else "?"


def _size(size_bytes: int) -> str:
    if size_bytes >= 1 << 30:
        return f"{size_bytes / (1 << 30):.1f} GiB"
    return f"{size_bytes / (1 << 20):.0f} MiB" if size_bytes >= 1 << 20 else f"{size_bytes / (1 << 10):.0f} KiB"


def _stop(message: str, status: int) -> typer.Exit:
    typer.secho(f"sketchwire: {message}", err=True, fg=typer.colors.RED)
    return typer.Exit(status)
