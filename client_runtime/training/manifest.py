"""Which images there are to learn from.

In: a folder of images, a folder of tar shards, a tar shard, or a JSON-lines manifest. Out: `Entry` values in a stable
order, and the bytes of each. Refuses: paths without any image (`ManifestError`). Other entries of a tar are ignored.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = frozenset((".webp", ".jpg", ".jpeg", ".png", ".avif"))


class ManifestError(ValueError):
    """There is nothing to learn from; the message names the path."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One image: a file, or `size_bytes` bytes at `offset` of a tar file (`size_bytes` is -1 for a whole file)."""

    name: str
    path: Path
    offset: int = 0
    size_bytes: int = -1

    def read(self) -> bytes:
        """The image file's bytes. Raises OSError."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size_bytes)


def entries(source: Path) -> list[Entry]:
    """All images under `source`, sorted by name, each name once. Raises ManifestError."""
    found: dict[str, Entry] = {}
    for entry in _entries(source):
        found.setdefault(entry.name, entry)
    if not found:
        raise ManifestError(f"no images in {source}: give a folder of images, tar shards or a .jsonl manifest")
    return sorted(found.values())


def _entries(source: Path) -> list[Entry]:
    if source.is_dir():
        files = sorted(source.rglob("*"))
        images = [Entry(str(f.relative_to(source)), f) for f in files if f.suffix.lower() in SUFFIXES]
        return images + [entry for f in files if f.suffix == ".tar" for entry in _in_tar(f)]
    if not source.is_file():
        raise ManifestError(f"{source} does not exist")
    if source.suffix == ".tar":
        return _in_tar(source)
    if source.suffix == ".jsonl":
        lines = source.read_text(encoding="utf-8").splitlines()
        names = [str(json.loads(line)["file"]) for line in lines if line.strip()]
        return [Entry(name, source.parent / name) for name in names]
    raise ManifestError(f"{source} is neither a folder, a .tar nor a .jsonl file")


def _in_tar(path: Path) -> list[Entry]:
    with tarfile.open(path) as tar:
        members = [m for m in tar if m.isfile() and Path(m.name).suffix.lower() in SUFFIXES]
        return [Entry(m.name, path, m.offset_data, m.size) for m in members]
