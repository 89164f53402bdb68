"""A record of a profile's files and their SHA-256, made when they were fetched and compared when they are verified.

In: a profile and where its files lie. Out: a `Manifest`, kept as JSON in the user's folder, and findings about files.
Refuses: records that cannot be read or are of another version (`ModelsError`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from client_runtime.models.plan import ModelsError

FOLDER = Path("~/.sketchwire/manifests")
VERSION = 1


class State(StrEnum):
    """What became of a recorded file."""

    OK = "ok"
    MISSING = "missing"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. `repo` is a repository id and `commit` its commit, or a local folder and empty."""

    role: str
    repo: str
    revision: str
    commit: str
    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All files of a profile."""

    profile: str
    entries: tuple[Entry, ...]


Locate = Callable[[Entry], Path | None]
OnBytes = Callable[[int], None]


def manifest_path(profile: str, folder: Path | None = None) -> Path:
    """Where the record of `profile` is kept."""
    return (folder or FOLDER).expanduser() / f"{profile}.json"


def load(path: Path) -> Manifest | None:
    """The record at `path`; None when there is none. Raises ModelsError when it cannot be used."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["version"] != VERSION:
            raise ModelsError(
                f"{path} is of version {found['version']}, and {VERSION} is known; pull the profile again"
            )
        return Manifest(str(found["profile"]), tuple(Entry(**entry) for entry in found["files"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelsError(f"{path} cannot be read ({error}); delete it and pull the profile again") from error


def save(manifest: Manifest, path: Path) -> None:
    """Write the whole record or nothing. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    body = {"version": VERSION, "profile": manifest.profile, "files": [asdict(entry) for entry in manifest.entries]}
    unfinished.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, path)


def recorded(role: str, repo: str, revision: str, commit: str, path: str, file: Path) -> Entry:
    """The entry of a file as it is on disk now. Raises OSError."""
    return Entry(role, repo, revision, commit, path, file.stat().st_size, sha256_of(file, lambda size: None))


def check(manifest: Manifest, locate: Locate, on_bytes: OnBytes = lambda size: None) -> Iterator[tuple[Entry, State]]:
    """Each entry and what became of its file; reads every byte of it."""
    for entry in manifest.entries:
        file = locate(entry)
        try:
            if file is None or not file.is_file():
                yield entry, State.MISSING
            elif file.stat().st_size != entry.size_bytes or sha256_of(file, on_bytes) != entry.sha256:
                yield entry, State.CHANGED
            else:
                yield entry, State.OK
        except OSError:
            yield entry, State.MISSING


def sha256_of(file: Path, on_bytes: OnBytes) -> str:
    """The file's SHA-256 in hexadecimal; `on_bytes` hears of each block. Raises OSError."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            on_bytes(len(block))
    return digest.hexdigest()
