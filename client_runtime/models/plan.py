"""Which files of which repositories a profile needs: decided before anything is downloaded.

In: a profile, and what its repositories hold. Out: a `Plan`, with sizes and digests. Refuses: file types that could run
code when they are loaded or that no loader of ours reads, paths that leave their folder, and repositories that lack a
file (`ModelsError`, which says what they have instead).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from client_runtime.engines.diffusion.profile import Part, Profile

ALLOWED = (".safetensors", ".json", ".txt")  # weights, configurations, vocabularies
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle")


class ModelsError(RuntimeError):
    """Weights cannot be fetched, checked or removed; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository. `sha256` is None for small files that git itself holds; `blob_id` is git's digest."""

    path: str
    size_bytes: int
    sha256: str | None = None
    blob_id: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit; `licence` is what its card says, `gated` whether its terms must be accepted there."""

    repo: str
    revision: str
    commit: str
    files: tuple[RemoteFile, ...]
    licence: str | None = None
    gated: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file to download: for which part of the profile, and from where."""

    role: str
    repo: str
    revision: str
    commit: str
    file: RemoteFile


@dataclass(frozen=True, slots=True)
class Plan:
    """Every download of a profile, each file once, and the listings they come from."""

    profile: Profile
    files: tuple[Wanted, ...]
    listings: tuple[Listing, ...]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(wanted.file.size_bytes for wanted in self.files)


def hub_parts(profile: Profile) -> tuple[Part, ...]:
    """The parts that come from a hub; the others lie in local folders."""
    return tuple(part for part in profile.parts() if part.weights.local is None)


def make_plan(profile: Profile, listings: Mapping[tuple[str, str], Listing]) -> Plan:
    """The plan, from listings by (repository, revision). Raises ModelsError."""
    files: dict[tuple[str, str], Wanted] = {}
    for part in hub_parts(profile):
        listing = listings[part.weights.repo, part.weights.revision]
        for pattern in part.patterns:
            for file in _matching(listing, pattern):
                wanted = Wanted(part.role, listing.repo, listing.revision, listing.commit, file)
                files.setdefault((listing.repo, file.path), wanted)
    return Plan(profile, tuple(files.values()), tuple(listings.values()))


def _matching(listing: Listing, pattern: str) -> Iterator[RemoteFile]:
    found = [file for file in listing.files if fnmatch.fnmatchcase(file.path, pattern)]
    allowed = [file for file in found if file.path.endswith(ALLOWED)]
    if not allowed:
        raise ModelsError(_lacks(listing, pattern))
    for file in allowed:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts or "\\" in file.path:
            raise ModelsError(f"{listing.repo}: the path {file.path!r} leaves its folder; nothing was downloaded")
        yield file


def _lacks(listing: Listing, pattern: str) -> str:
    where, name = PurePosixPath(pattern).parent, PurePosixPath(pattern).name
    stem = name.partition(".")[0]
    beside = [file.path for file in listing.files if PurePosixPath(file.path).parent == where]
    pickles = [path for path in beside if path.endswith(PICKLES)]
    said = f"{listing.repo} at {listing.revision} has no {pattern}"
    if name.endswith(".safetensors"):
        variants = [p for p in beside if p.endswith(".safetensors") and PurePosixPath(p).name.partition(".")[0] == stem]
        if variants:
            return f"{said}, but {variants[0]}: set `variant` in the profile to fit"
        if pickles:
            return f"{said}, but {pickles[0]}; pickle files can run code and are never fetched: choose another revision"
    return f"{said}; correct the repository or revision in the profile"
