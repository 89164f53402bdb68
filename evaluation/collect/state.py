"""What has been collected so far, in one SQLite file in the output folder.

In: outcomes of pages and images, as they come. Out: the same, to a later run. Refuses: files that are not such a state,
and to go on with other options or another list than it was begun with (`ValueError`).

Every outcome is on disk when the call returns. What is recorded is never asked for again, so that a run that was
killed and resumed ends with the set it would have had.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

FILE = "collect.sqlite"
KEPT, REFUSED, FAILED = "kept", "refused", "failed"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS plan (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sites (origin TEXT PRIMARY KEY, images INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS pages (
    origin TEXT, url TEXT, at TEXT, status TEXT, why TEXT, final_url TEXT, title TEXT, pictures TEXT, links TEXT,
    PRIMARY KEY (origin, url));
CREATE TABLE IF NOT EXISTS images (
    origin TEXT, url TEXT, at TEXT, status TEXT, why TEXT, category TEXT, sha256 TEXT, row TEXT,
    PRIMARY KEY (origin, url));
"""


@dataclass(frozen=True, slots=True)
class PageRow:
    """What became of a page: `pictures` and `links` are JSON values, empty unless it was kept."""

    status: str
    why: str = ""
    final_url: str = ""
    title: str = ""
    pictures: tuple[Mapping[str, Any], ...] = ()
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageRow:
    """What became of an image; `row` is its line of the index, empty unless it was kept."""

    status: str
    why: str = ""
    sha256: str = ""
    row: Mapping[str, Any] | None = None


class State:
    """Opens or makes the state of `folder`."""

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / FILE)
        try:
            self._db.executescript(_SCHEMA)
            before = dict(self._db.execute("SELECT name, value FROM plan").fetchall())
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{folder / FILE} is not a collection's state: {error}") from error
        now = {name: json.dumps(value) for name, value in plan.items()}
        changed = [name for name in now if before and before.get(name) != now[name]]
        if changed:
            name = changed[0]
            raise ValueError(
                f"{folder} was begun with {name} {before.get(name)}, not {now[name]}; another set needs another folder"
            )
        with self._db:
            self._db.executemany("INSERT OR IGNORE INTO plan VALUES (?, ?)", now.items())

    def site(self, origin: str) -> int | None:
        """How many images a site gave, or None while it is not walked to its end."""
        found = self._db.execute("SELECT images FROM sites WHERE origin = ?", (origin,)).fetchone()
        return None if found is None else int(found[0])

    def put_site(self, origin: str, images: int) -> None:
        """Record that a site is walked to its end."""
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO sites VALUES (?, ?)", (origin, images))

    def page(self, origin: str, url: str) -> PageRow | None:
        """What became of a page, or None while it is not known."""
        asked = "SELECT status, why, final_url, title, pictures, links FROM pages WHERE origin = ? AND url = ?"
        found = self._db.execute(asked, (origin, url)).fetchone()
        if found is None:
            return None
        status, why, final_url, title, pictures, links = found
        return PageRow(status, why, final_url, title, tuple(json.loads(pictures)), tuple(json.loads(links)))

    def put_page(self, origin: str, url: str, at: str, page: PageRow) -> None:
        """Record a page."""
        values = (page.status, page.why, page.final_url, page.title, _text(page.pictures), _text(page.links))
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (origin, url, at, *values)
            )

    def image(self, origin: str, url: str) -> ImageRow | None:
        """What became of an image of a site, or None while it is not known."""
        asked = "SELECT status, why, sha256, row FROM images WHERE origin = ? AND url = ?"
        found = self._db.execute(asked, (origin, url)).fetchone()
        if found is None:
            return None
        status, why, sha256, row = found
        return ImageRow(status, why, sha256, json.loads(row) if row else None)

    def put_image(self, origin: str, url: str, at: str, category: str, image: ImageRow) -> None:
        """Record an image."""
        row = _text(image.row) if image.row is not None else ""
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (origin, url, at, image.status, image.why, category, image.sha256, row),
            )

    def has(self, category: str, sha256: str) -> bool:
        """Whether a category already has an image of these bytes."""
        asked = "SELECT 1 FROM images WHERE category = ? AND sha256 = ? AND status = ?"
        return self._db.execute(asked, (category, sha256, KEPT)).fetchone() is not None

    def forget_failures(self) -> None:
        """Forget what failed for a passing reason, and that its sites are walked, so that it is tried again."""
        with self._db:
            for table in ("pages", "images"):
                failed = f"SELECT origin FROM {table} WHERE status = ?"
                self._db.execute(f"DELETE FROM sites WHERE origin IN ({failed})", (FAILED,))
                self._db.execute(f"DELETE FROM {table} WHERE status = ?", (FAILED,))

    def kept(self) -> list[dict[str, Any]]:
        """The index's lines of all images that were kept, by file."""
        rows = self._db.execute("SELECT row FROM images WHERE status = ?", (KEPT,)).fetchall()
        return sorted((dict(json.loads(row[0])) for row in rows), key=lambda row: str(row["file"]))

    def reasons(self) -> dict[str, dict[str, int]]:
        """How many pages and images were left out, by reason."""
        counts = {}
        for table in ("pages", "images"):
            asked = f"SELECT why, count(*) FROM {table} WHERE status != ? GROUP BY why ORDER BY 2 DESC, 1"
            counts[table] = dict(self._db.execute(asked, (KEPT,)).fetchall())
        return counts

    def __enter__(self) -> State:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()


def _text(value: Iterable[Any] | Mapping[str, Any]) -> str:
    return json.dumps(value if isinstance(value, Mapping) else list(value), ensure_ascii=False)
