"""Participants and their answers, in one SQLite file.

In: participants with their questions, answers as they are given. Out: the same. Refuses: files that are no such store
(`ValueError`), answers to questions that were not asked.

A participant is a random code; no name, address or browser is kept. `simulated` is 1 in both tables for answers that a
script gave. A second answer to the same question replaces the first.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from evaluation.study.trials import Trial

FILE = "answers.sqlite"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS participants (
    code TEXT PRIMARY KEY, seed INTEGER NOT NULL, simulated INTEGER NOT NULL CHECK (simulated IN (0, 1)),
    stimuli TEXT NOT NULL, trials TEXT NOT NULL, consented_at TEXT NOT NULL, finished_at TEXT);
CREATE TABLE IF NOT EXISTS answers (
    code TEXT NOT NULL REFERENCES participants ON DELETE CASCADE, number INTEGER NOT NULL, section TEXT NOT NULL,
    image TEXT NOT NULL, "left" TEXT NOT NULL, "right" TEXT NOT NULL, value TEXT NOT NULL, answer_ms INTEGER,
    answered_at TEXT NOT NULL, simulated INTEGER NOT NULL CHECK (simulated IN (0, 1)), PRIMARY KEY (code, number));
"""


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who agreed to take part, or a script (`simulated`)."""

    code: str
    seed: int
    simulated: bool
    stimuli: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a participant said to a question; `answer_ms` from when it was shown, None when not known."""

    code: str
    section: str
    image: str
    left: str
    right: str
    value: str
    answer_ms: int | None
    simulated: bool


class Answers:
    """Opens or makes the store in `folder`; every call is on disk when it returns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / FILE)
        try:
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA secure_delete = ON")  # what is withdrawn is gone
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{folder / FILE} is not a study's answers: {error}") from error

    def join(self, seed: int, simulated: bool, stimuli: str, asked: Sequence[Trial], at: str) -> Participant:
        """A new participant, who has agreed."""
        one = Participant(secrets.token_urlsafe(12), seed, simulated, stimuli, tuple(asked))
        values = (one.code, seed, int(simulated), stimuli, json.dumps([asdict(trial) for trial in asked]), at)
        with self._db:
            self._db.execute("INSERT INTO participants VALUES (?, ?, ?, ?, ?, ?, NULL)", values)
        return one

    def participant(self, code: str) -> Participant | None:
        """The participant of a code."""
        asked = "SELECT code, seed, simulated, stimuli, trials FROM participants WHERE code = ?"
        row = self._db.execute(asked, (code,)).fetchone()
        if row is None:
            return None
        return Participant(row[0], row[1], bool(row[2]), row[3], tuple(Trial(**one) for one in json.loads(row[4])))

    def next_trial(self, one: Participant) -> Trial | None:
        """The first question that has no answer yet."""
        rows = self._db.execute("SELECT number FROM answers WHERE code = ?", (one.code,)).fetchall()
        done = {row[0] for row in rows}
        return next((trial for trial in one.trials if trial.number not in done), None)

    def put(self, one: Participant, trial: Trial, value: str, answer_ms: int | None, at: str) -> None:
        """Keep an answer. Raises ValueError for a question that was not asked."""
        if trial not in one.trials:
            raise ValueError(f"participant {one.code} was not asked {trial}")
        shown = (trial.number, trial.section, trial.image, trial.left, trial.right)
        values = (one.code, *shown, value, answer_ms, at, int(one.simulated))
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            if self.next_trial(one) is None:
                finished = "UPDATE participants SET finished_at = ? WHERE code = ? AND finished_at IS NULL"
                self._db.execute(finished, (at, one.code))

    def withdraw(self, code: str) -> None:
        """Delete a participant and all answers."""
        with self._db:
            self._db.execute("DELETE FROM participants WHERE code = ?", (code,))

    def all(self, stimuli: str) -> list[Answer]:
        """Every answer about these stimuli, in a fixed order."""
        asked = (
            'SELECT a.code, section, image, "left", "right", value, answer_ms, a.simulated FROM answers a '
            "JOIN participants p ON a.code = p.code WHERE p.stimuli = ? ORDER BY p.consented_at, a.code, number"
        )
        rows = self._db.execute(asked, (stimuli,)).fetchall()
        return [
            Answer(code, section, image, left, right, value, answer_ms, bool(simulated))
            for code, section, image, left, right, value, answer_ms, simulated in rows
        ]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
