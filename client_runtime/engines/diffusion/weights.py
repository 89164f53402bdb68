"""Where a profile's weights lie on this machine, and a digest of them. Never downloads, never loads.

In: a `Profile`. Out: `Found`: a folder per part, and the files in it. Refuses: parts that are not here
(`WeightsMissing`, with the command that fetches them), and what could run code when it is loaded: pickles, code beside
the weights, and LoRA files that are no safetensors (`WeightsError`).

Repositories are looked up in the hub's cache (`HF_HOME`, `HF_HUB_CACHE`), at the profile's revision.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from client_runtime.engines.diffusion.profile import Part, Profile

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle")
DIGESTS = Path("~/.sketchwire/digests.json")
_NOT_DRAWING = ("id", "title", "licence", "memory_mib", "download_mib", "dtype", "file", "base", "lora", "tiny_vae")
_BLOB = re.compile(r"[0-9a-f]{64}")  # the hub's cache names large files by their SHA-256
_BLOCK_BYTES = 1 << 20
_HEADER_LIMIT_BYTES = 100_000_000


class WeightsError(RuntimeError):
    """The weights cannot be used; the message says which file, and what to do."""


class WeightsMissing(WeightsError):
    """Not all weights are on this machine; the message says what fetches them."""


@dataclass(frozen=True, slots=True)
class Found:
    """The folder of every part by its role (`base`, `lora`, `tiny_vae`, `controlnets.edges`, …), and all its files."""

    folders: dict[str, Path]
    files: dict[str, tuple[Path, ...]]


def find(profile: Profile) -> Found:
    """The weights of `profile`. Raises WeightsMissing and WeightsError."""
    folders: dict[str, Path] = {}
    files: dict[str, tuple[Path, ...]] = {}
    for part in profile.parts():
        folder = _folder(part, profile)
        folders[part.role] = folder
        files[part.role] = tuple(_wanted(part, folder, profile))
    return Found(folders, files)


def fingerprint(profile: Profile, found: Found, version: int) -> str:
    """64 hexadecimal digits over `version`, what the profile says about drawing, and the SHA-256 of every file.

    Where the weights come from, their licence, and the device's number format are left out: they do not change
    pictures beyond what the link allows for.
    """
    digest = hashlib.sha256(b"diffusion %d " % version)
    drawing = {f.name: getattr(profile, f.name) for f in fields(profile) if f.name not in _NOT_DRAWING}
    drawing |= {"lora": profile.lora and profile.lora.weight, "revision": None, "variant": None}
    drawing["controlnets"] = {role: weights.weight for role, weights in sorted(profile.controlnets.items())}
    digest.update(json.dumps(drawing, sort_keys=True, default=str).encode())
    with _remembered() as digests:
        for role in sorted(found.files):
            for path in found.files[role]:
                name = path.relative_to(found.folders[role]).as_posix()
                digest.update(f"{role} {name} {_sha256(path, digests)}\n".encode())
    return digest.hexdigest()


def _folder(part: Part, profile: Profile) -> Path:
    weights = part.weights
    local = weights.local
    if local is not None:
        if not local.is_dir():
            raise WeightsMissing(f"profile {profile.id}: {part.role}: no folder {local}")
        return local
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise WeightsError(f"{error}; pip install 'sketchwire[diffusion]'") from error
    try:
        return Path(snapshot_download(weights.repo, revision=weights.revision, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise WeightsMissing(_fetch(profile, f"{weights.repo} is not on this machine")) from error
    except (HFValidationError, OSError, ValueError) as error:
        raise WeightsError(f"profile {profile.id}: {part.role}: {error}") from error


def _wanted(part: Part, folder: Path, profile: Profile) -> Iterator[Path]:
    """The part's files, checked."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    for pattern in part.patterns:
        matches = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        matches = [name for name in matches if Path(name).suffix not in (*PICKLES, ".py")]
        if not matches:
            raise _missing(part, pattern, names, folder, profile)
        if part.role == "lora" and not matches[0].endswith(".safetensors"):
            raise WeightsError(f"{folder / matches[0]}: a LoRA must be a .safetensors file")
        for name in matches:
            if name.endswith(".safetensors"):
                _check_header(folder / name, profile)
            yield folder / name


def _missing(part: Part, pattern: str, names: Iterable[str], folder: Path, profile: Profile) -> WeightsError:
    parent, stem = os.path.split(pattern)[0], Path(pattern).name.split(".")[0]
    pickles = [n for n in names if os.path.split(n)[0] == parent and Path(n).suffix in PICKLES]
    if pattern.endswith(".safetensors") and pickles:
        return WeightsError(
            f"{folder / pickles[0]}: pickle files are not loaded, since they can run code; "
            f"{pattern} is wanted instead (convert it, or choose a profile that has safetensors)"
        )
    others = [n for n in names if os.path.split(n)[0] == parent and Path(n).name.split(".")[0] == stem]
    hint = f"; there is {others[0]}: set `variant` in the profile to fit" if others else ""
    if part.weights.local is not None:
        return WeightsMissing(f"profile {profile.id}: {part.role}: no {pattern} in {folder}{hint}")
    return WeightsMissing(_fetch(profile, f"{pattern} of {part.weights.repo} is not on this machine"))


def _fetch(profile: Profile, what: str) -> str:
    size = f" (about {profile.download_mib} MiB)" if profile.download_mib else ""
    return f"{what}; fetch the weights{size} with: sketchwire models pull {profile.id}"


def _check_header(path: Path, profile: Profile) -> None:
    """The file is as long as its own header says: cut downloads are found before seconds go into loading."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_HEADER_LIMIT_BYTES, size - 8):
                raise ValueError("its header is cut off")
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if 8 + length + max(ends, default=0) != size:
            raise ValueError(f"it should have {8 + length + max(ends, default=0)} bytes, and has {size}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path} is damaged: {error}; check and mend with: sketchwire models verify {profile.id}"
        ) from error


def _sha256(path: Path, digests: dict[str, list[object]]) -> str:
    real = path.resolve()
    if _BLOB.fullmatch(real.name):
        return real.name
    state = real.stat()
    key, stamp = str(real), [state.st_size, state.st_mtime_ns]
    known = digests.get(key)
    if isinstance(known, list) and len(known) == 3 and known[:2] == stamp:
        return str(known[2])
    digest = hashlib.sha256()
    with real.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    digests[key] = [*stamp, digest.hexdigest()]
    return digest.hexdigest()


@contextlib.contextmanager
def _remembered() -> Iterator[dict[str, list[object]]]:
    """Digests of files that have not changed since (by size and time), so that a start does not read gigabytes."""
    path = DIGESTS.expanduser()
    try:
        digests = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        digests = {}
    if not isinstance(digests, dict):
        digests = {}
    before = dict(digests)
    yield digests
    if digests == before:
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished.write_text(json.dumps({k: v for k, v in digests.items() if os.path.exists(k)}), encoding="utf-8")
        os.replace(unfinished, path)
