"""The results of an experiment, one JSON record per image, kept as soon as they are there.

In: keys (see `key`) and records. Out: records by key. Refuses: files that are not such a store (`ValueError`).

A key covers the image, the plan and everything that measured it, so that a record is never shown for other code: after
a change, old records stay in the file and new ones are made.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any

FILE = "results.sqlite"
Record = dict[str, Any]


def key(*parts: str) -> str:
    """One digest of several strings."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class Store:
    """A SQLite file in the folder of a run; every `put` is on disk when it returns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / FILE)
        try:
            self._db.execute("CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, image TEXT, record TEXT)")
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{folder / FILE} is not a store of results: {error}; remove it to start anew") from error

    def get(self, name: str) -> Record | None:
        """The record of a key, or None."""
        row = self._db.execute("SELECT record FROM results WHERE key = ?", (name,)).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def put(self, name: str, image: str, record: Record) -> Record:
        """Keep a record; returned as it will be read back."""
        text = json.dumps(record, ensure_ascii=False)
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", (name, image, text))
        return dict(json.loads(text))

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()
