"""The images of an experiment: a folder, or a manifest of one.

In: a folder of images, or a JSONL file that lists some. Out: `Item`s in a fixed order, with caption, category and
licence where a manifest knows them. Refuses: folders without images and manifests that cannot be read (`ValueError`).

A manifest has one JSON object a line: `file` (relative to the manifest), and if known `caption`, `set` or `category`,
`licence`. For a folder, `manifest.jsonl` or `index.jsonl` in it or beside it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp"))
MANIFESTS = ("manifest.jsonl", "index.jsonl")


@dataclass(frozen=True, slots=True)
class Item:
    """One image file. `name` is its path below the set, `caption` the words its page has for it."""

    path: Path
    name: str
    caption: str = ""
    category: str = ""
    licence: str = ""

    def digest(self) -> str:
        """SHA-256 of the file and of the words: what the results of an item depend on. Raises OSError."""
        return hashlib.sha256(self.path.read_bytes() + b"\0" + self.caption.encode()).hexdigest()


def items(source: Path, limit: int = 0) -> list[Item]:
    """The images of a folder (sub-folders too) or manifest, at most `limit`, evenly spread. Raises ValueError."""
    found = _listed(source) if source.is_file() else _below(source)
    if not found:
        raise ValueError(f"no images in {source}")
    if not limit or limit >= len(found):
        return found
    return [found[index * len(found) // limit] for index in range(limit)]


def _below(folder: Path) -> list[Item]:
    known = _known(folder)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return [_item(path, path.relative_to(folder).as_posix(), known.get(path.resolve(), {})) for path in paths]


def _listed(manifest: Path) -> list[Item]:
    rows = _rows(manifest)
    return [_item(path, path.name, row) for path, row in sorted(rows.items()) if path.suffix.lower() in SUFFIXES]


def _known(folder: Path) -> Mapping[Path, Mapping[str, Any]]:
    for manifest in (folder / name for folder in (folder, folder.resolve().parent) for name in MANIFESTS):
        if manifest.is_file():
            return _rows(manifest)
    return {}


def _rows(manifest: Path) -> dict[Path, Mapping[str, Any]]:
    rows: dict[Path, Mapping[str, Any]] = {}
    for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            rows[(manifest.parent / row["file"]).resolve()] = row
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{manifest}, line {number}: not an object with a file: {error}") from error
    return rows


def _item(path: Path, name: str, row: Mapping[str, Any]) -> Item:
    words = " ".join(str(row.get("caption") or "").split())
    return Item(path, name, words, str(row.get("category") or row.get("set") or ""), str(row.get("licence") or ""))
