"""Keeps the worst and the best measured images of the last days, small, in a folder.

In: pairs of a small original and what was sent instead of it, with their quality. Out: the same, worst first. Refuses:
pairs between the extremes when there are enough, pairs that are too old, files it did not write.

A pair is one file, 0600, in a folder of 0700. Its name has its quality, its time, its subscriber's pseudonym and a part
of a digest of what was sent, so that nothing has to be opened to choose, to forget or to let go. There is no address.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = "gallery"  # in upstream's state folder
NOBODY = "nobody"
MAX_FILE_BYTES = 4 * 1024 * 1024
_NAME = re.compile(r"([01]\.\d{4})-(\d{13})-([0-9a-f]{8,64}|nobody)-([0-9a-f]{16})\.pair\Z")
_FACTS, _BEFORE, _SENT = "facts.json", "before.webp", "sent"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a pair; `media_type` is that of what was sent, sizes are the original's."""

    time_s: float
    quality: float
    media_type: str
    mode: str = ""
    kind: str = ""
    width_px: int = 0
    height_px: int = 0
    origin_bytes: int = 0
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """A small original (WebP), and what crossed the link instead of it: a bundle or a smaller file."""

    facts: Facts
    before: bytes
    sent: bytes


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    quality: float
    time_s: float
    subscriber: str
    digest: str


class Shelf:
    """`most` of the worst and `most` of the best, none older than `keep_s`; 0 keeps none."""

    def __init__(self, folder: Path, most: int, keep_s: float) -> None:
        self.folder = folder
        self._most = most
        self._keep_s = keep_s

    def wants(self, quality: float, sent: bytes) -> bool:
        """Whether a pair of this quality would be kept; the same picture is not kept twice."""
        kept = _kept(self.folder)
        if self._most <= 0 or any(one.digest == _digest(sent) for one in kept):
            return False
        if len(kept) < 2 * self._most:
            return True
        return quality < kept[self._most - 1].quality or quality > kept[-self._most].quality

    def put(self, pair: Pair, subscriber: str = "") -> None:
        """Keep a pair, and let go what it replaces. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        facts, out = pair.facts, io.BytesIO()
        with zipfile.ZipFile(out, "w") as packed:  # stored: both are compressed
            packed.writestr(_FACTS, json.dumps(asdict(facts)))
            packed.writestr(_BEFORE, pair.before)
            packed.writestr(_SENT, pair.sent)
        quality = min(max(facts.quality, 0.0), 1.0)
        named = f"{quality:.4f}-{round(facts.time_s * 1000):013d}-{subscriber or NOBODY}-{_digest(pair.sent)}.pair"
        if not _NAME.match(named) or len(out.getvalue()) > MAX_FILE_BYTES:
            return
        draft = self.folder / f".{named}.{os.getpid()}"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(out.getvalue())
        draft.replace(self.folder / named)
        self.tidy(facts.time_s)

    def tidy(self, now_s: float) -> None:
        """Delete what is too old or between the extremes. Raises OSError."""
        fresh = []
        for one in _kept(self.folder):
            if one.time_s < now_s - self._keep_s or self._most <= 0:
                one.path.unlink(missing_ok=True)
            else:
                fresh.append(one)
        for one in fresh[self._most : max(len(fresh) - self._most, self._most)]:
            one.path.unlink(missing_ok=True)


def pairs(folder: Path, since_s: float = 0.0, until_s: float | None = None) -> Iterator[Pair]:
    """The pairs of a period, the worst first; a file that cannot be read is passed over."""
    for one in _kept(folder):
        if one.time_s < since_s or (until_s is not None and one.time_s >= until_s):
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            if one.path.stat().st_size <= MAX_FILE_BYTES:
                with zipfile.ZipFile(one.path) as packed:
                    facts = Facts(**json.loads(packed.read(_FACTS)))
                    yield Pair(facts, packed.read(_BEFORE), packed.read(_SENT))


def forget(folder: Path, subscriber: str) -> int:
    """Delete a subscriber's pairs; how many there were. Raises OSError."""
    theirs = [one for one in _kept(folder) if one.subscriber == subscriber]
    for one in theirs:
        one.path.unlink(missing_ok=True)
    return len(theirs)


def clear(folder: Path) -> None:
    """Delete all pairs, and drafts that a crash left; other files and the folder stay. Raises OSError."""
    if folder.is_dir():
        for path in folder.iterdir():
            if _NAME.match(path.name) or path.name.startswith("."):
                path.unlink(missing_ok=True)


def _kept(folder: Path) -> list[_Kept]:
    """What there is, worst first."""
    try:
        found = [(path, _NAME.match(path.name)) for path in folder.iterdir()]
    except OSError:
        return []
    kept = [_Kept(path, float(m[1]), int(m[2]) / 1000, m[3], m[4]) for path, m in found if m]
    return sorted(kept, key=lambda one: (one.quality, one.time_s))


def _digest(sent: bytes) -> str:
    return hashlib.sha256(sent).hexdigest()[:16]
