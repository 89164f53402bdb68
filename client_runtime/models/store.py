"""What can be done with a profile's weights on this machine: fetch, record, verify, remove.

In: a profile and a `Hub`. Out: records and findings. Refuses: to remove what another profile that is here needs, and
local folders, ever (`ModelsError` where the hub's cache cannot be read).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client_runtime.engines.diffusion.profile import Profile
from client_runtime.engines.diffusion.weights import Found, WeightsError, find
from client_runtime.models.hub import Hub
from client_runtime.models.manifest import Entry, Manifest, OnBytes, State, check, recorded
from client_runtime.models.plan import Listing, ModelsError, Plan, Wanted, hub_parts, make_plan


def plan_of(profile: Profile, hub: Hub) -> Plan:
    """What has to be fetched for `profile`. Asks the hub. Raises ModelsError."""
    listings: dict[tuple[str, str], Listing] = {}
    for part in hub_parts(profile):
        key = (part.weights.repo, part.weights.revision)
        if key not in listings:
            listings[key] = hub.listing(*key)
    return make_plan(profile, listings)


def fetch(plan: Plan, hub: Hub, on_file: Callable[[Wanted], None], on_bytes: OnBytes) -> Manifest:
    """Every file of `plan` in the cache, and the record of all that the profile needs. Raises ModelsError, OSError."""
    for wanted in plan.files:
        on_file(wanted)
        hub.fetch(wanted, on_bytes)
    return record(plan.profile)


def record(profile: Profile) -> Manifest:
    """The record of the files that are here now. Raises ModelsError when some are not, OSError."""
    try:
        found = find(profile)
    except WeightsError as error:
        raise ModelsError(str(error)) from error
    return Manifest(profile.id, tuple(_entries(profile, found)))


def missing(profile: Profile) -> str | None:
    """Why `profile` cannot be used as it is here; None when all its files are. Makes no request."""
    try:
        find(profile)
    except WeightsError as error:
        return str(error)
    return None


def verify(manifest: Manifest, hub: Hub, on_bytes: OnBytes) -> list[tuple[Entry, State]]:
    """Each recorded file and what became of it."""

    def locate(entry: Entry) -> Path | None:
        if not entry.commit:
            return Path(entry.repo) / entry.path
        return hub.located(entry.repo, entry.commit, entry.path)

    return list(check(manifest, locate, on_bytes))


def outdated(manifest: Manifest, profile: Profile) -> bool:
    """Whether the record was made for other repositories or revisions than the profile names now."""
    then = {(entry.role, entry.repo, entry.revision) for entry in manifest.entries}
    now = {(part.role, part.weights.repo, part.weights.revision) for part in profile.parts()}
    return then != now


@dataclass(frozen=True, slots=True)
class Removal:
    """What `remove` would delete: revisions as (repository, commit), and what stays because of whom."""

    revisions: tuple[tuple[str, str], ...]
    kept: tuple[tuple[str, str], ...]  # (repository or folder, why)
    freed_bytes: int


def removal(profile: Profile, others: Iterable[Profile], hub: Hub) -> Removal:
    """What removing `profile` would delete from the cache. Raises ModelsError."""
    needed: dict[tuple[str, str], str] = {}
    for other in others:
        if other.id != profile.id and missing(other) is None:
            needed.update({(p.weights.repo, p.weights.revision): f"{other.id} needs it" for p in hub_parts(other)})
    kept: list[tuple[str, str]] = []
    wanted: dict[tuple[str, str], None] = {}
    for part in profile.parts():
        key = (part.weights.repo, part.weights.revision)
        if part.weights.local is not None:
            kept.append((part.weights.repo, "a folder of your own"))
        elif key in needed:
            kept.append((part.weights.repo, needed[key]))
        else:
            wanted[key] = None
    cached = _cached(hub)
    revisions: list[tuple[str, str]] = []
    for repo, revision in wanted:
        commits = [commit for commit, names in cached.get(repo, {}).items() if revision == commit or revision in names]
        revisions += [(repo, commit) for commit in commits]
    freed = _strategy(hub, revisions).expected_freed_size if revisions else 0
    return Removal(tuple(revisions), tuple(dict.fromkeys(kept)), freed)


def remove(removal: Removal, hub: Hub) -> None:
    """Delete the revisions from the cache. Raises ModelsError."""
    if removal.revisions:
        _strategy(hub, removal.revisions).execute()


def _entries(profile: Profile, found: Found) -> Iterable[Entry]:
    for part in profile.parts():
        folder, weights = found.folders[part.role], part.weights
        commit = "" if weights.local is not None else folder.name
        for file in found.files[part.role]:
            path = file.relative_to(folder).as_posix()
            yield recorded(part.role, weights.repo, weights.revision, commit, path, file)


def _cached(hub: Hub) -> dict[str, dict[str, frozenset[str]]]:
    """Commits in the cache by repository, each with the branches and tags that point to it."""
    found: dict[str, dict[str, frozenset[str]]] = {}
    for repo in _scan(hub).repos if hub.cache.is_dir() else ():
        if repo.repo_type == "model":
            found[repo.repo_id] = {revision.commit_hash: frozenset(revision.refs) for revision in repo.revisions}
    return found


def _scan(hub: Hub) -> Any:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        return scan_cache_dir(hub.cache)
    except (CacheNotFound, ValueError, OSError) as error:
        raise ModelsError(f"{hub.cache}: {error}") from error


def _strategy(hub: Hub, revisions: Iterable[tuple[str, str]]) -> Any:
    return _scan(hub).delete_revisions(*(commit for _, commit in revisions))
