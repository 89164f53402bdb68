"""Remembers captions by what their pictures look like, and what was spent today, across restarts.

In: fingerprints and captions; a day and money. Out: the caption of the same picture. Refuses: to grow over `entries`
(the least recently used go); a damaged file is moved aside, and a disk that takes nothing leaves the memory in RAM.

The file holds no picture, address or page word: 28 bytes of fingerprint, the model's name and the caption.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections import OrderedDict
from pathlib import Path

from proxy.captions.fingerprint import Fingerprint

log = logging.getLogger(__name__)

_TABLES = """
create table if not exists captions (
    bits blob not null, colours blob not null, model text not null, caption text not null, used integer not null,
    primary key (bits, colours, model)) without rowid;
create table if not exists spending (day text primary key, money real not null) without rowid;
"""


class CaptionMemory:
    """Captions of one model. Not thread-safe; writes are a row each, and the file needs no sync to be whole."""

    def __init__(self, file: Path | None, model: str, entries: int) -> None:
        self._model = model
        self._entries = max(1, entries)
        self._captions: OrderedDict[Fingerprint, str] = OrderedDict()
        self._clock = 0
        self._database = _opened(file) if file is not None else None
        if self._database is not None:
            rows = self._database.execute(
                "select bits, colours, caption, used from captions where model = ? order by used", (model,)
            )
            for bits, colours, caption, used in rows:
                if len(bits) == 16 and len(colours) == 12:
                    self._captions[Fingerprint(bits, colours)] = str(caption)
                    self._clock = max(self._clock, int(used))
            self._shrink()

    def __len__(self) -> int:
        return len(self._captions)

    def find(self, wanted: Fingerprint) -> str | None:
        """The caption of the same picture, or None. At most `entries` comparisons, of a few hundred ns each."""
        known = wanted if wanted in self._captions else next((f for f in self._captions if f.same(wanted)), None)
        if known is None:
            return None
        self._captions.move_to_end(known)
        self._clock += 1
        self._write(
            "update captions set used = ? where bits = ? and colours = ? and model = ?", self._clock, *_key(known)
        )
        return self._captions[known]

    def keep(self, fingerprint: Fingerprint, caption: str) -> None:
        """Remember a caption."""
        self._captions[fingerprint] = caption
        self._captions.move_to_end(fingerprint)
        self._clock += 1
        self._write(
            "insert or replace into captions (caption, used, bits, colours, model) values (?, ?, ?, ?, ?)",
            *(caption, self._clock, *_key(fingerprint)),
        )
        self._shrink()

    def spent_on(self, day: str) -> float:
        """Money spent on a day, as far as the file knows."""
        if self._database is None:
            return 0.0
        row = self._database.execute("select money from spending where day = ?", (day,)).fetchone()
        return float(row[0]) if row else 0.0

    def keep_spent(self, day: str, money: float) -> None:
        """Remember the money spent on a day, and forget earlier days."""
        if self._database is not None:
            self._statement("insert or replace into spending (day, money) values (?, ?)", day, money)
            self._statement("delete from spending where day < ?", day)

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _shrink(self) -> None:
        while len(self._captions) > self._entries:
            oldest, _ = self._captions.popitem(last=False)
            self._write("delete from captions where bits = ? and colours = ? and model = ?", *_key(oldest))

    def _write(self, statement: str, *values: object) -> None:
        self._statement(statement, *values, self._model)

    def _statement(self, statement: str, *values: object) -> None:
        if self._database is not None:
            try:
                self._database.execute(statement, values)
            except sqlite3.Error as error:
                log.warning("the memory of captions cannot be written: %s", type(error).__name__)


def _key(fingerprint: Fingerprint) -> tuple[bytes, bytes]:
    return fingerprint.bits, fingerprint.colours


def _opened(file: Path) -> sqlite3.Connection | None:
    for attempt in (1, 2):
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
            database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
            database.execute("pragma journal_mode = wal")
            database.execute("pragma synchronous = off")
            database.executescript(_TABLES)
            return database
        except sqlite3.DatabaseError:
            if attempt == 1:
                with contextlib.suppress(OSError):
                    file.replace(file.with_name(f"{file.name}.broken"))
        except OSError as error:
            log.warning("captions are only remembered until the end: %s", error.strerror)
            return None
    log.warning("captions are only remembered until the end: their file cannot be used")
    return None
