from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evaluation.runs import version
from evaluation.runs.schedule import run
from evaluation.runs.store import FILE, Store, key
from evaluation.sets.folder import Item, items

CALLS: list[str] = []


@dataclass(frozen=True, slots=True)
class Plan:
    factor: int = 2


def job(item: Item, plan: Plan) -> dict[str, Any]:
    """Counts bytes; `bad` raises, `deadly` takes its process along."""
    CALLS.append(item.name)
    if item.name.startswith("bad"):
        raise OSError("truncated")
    if item.name.startswith("deadly"):
        os._exit(3)
    return {"bytes": plan.factor * len(item.path.read_bytes())}


@pytest.fixture
def images(tmp_path: Path) -> list[Item]:
    for number, name in enumerate(("a.png", "bad.png", "c.png")):
        (tmp_path / name).write_bytes(b"x" * (number + 1))
    CALLS.clear()
    return items(tmp_path)


def _run(images: list[Item], out: Path, plan: Plan | None = None, code: str = "v1", workers: int = 1) -> list[Any]:
    ticks: list[Item] = []
    with Store(out) as store:
        found = run(images, job, plan or Plan(), code, store, workers, ticks.append)
    assert sorted(t.name for t in ticks) == sorted(i.name for i in images)
    return [o.record if o.record is not None else o.error for o in found]


def test_results_are_kept_by_content_plan_and_code(images: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _run(images, out) == [{"bytes": 2}, "OSError: truncated", {"bytes": 6}]
    CALLS.clear()
    assert _run(images, out) == [{"bytes": 2}, "OSError: truncated", {"bytes": 6}]
    assert CALLS == ["bad.png"]  # what failed is tried again
    assert _run(images, out, Plan(3))[0] == {"bytes": 3}
    CALLS.clear()
    _run(images, out, code="v2")
    assert CALLS == ["a.png", "bad.png", "c.png"]
    images[0].path.write_bytes(b"changed")
    assert _run(images, out)[0] == {"bytes": 14}


def test_an_interrupted_run_goes_on(images: list[Item], tmp_path: Path) -> None:
    def interrupted(item: Item, plan: Plan) -> dict[str, Any]:
        if item.name == "c.png":
            raise KeyboardInterrupt
        return job(item, plan)

    with Store(tmp_path / "out") as store, pytest.raises(KeyboardInterrupt):
        run(images, interrupted, Plan(), "v1", store, 1, lambda _: None)
    CALLS.clear()
    assert _run(images, tmp_path / "out") == [{"bytes": 2}, "OSError: truncated", {"bytes": 6}]
    assert CALLS == ["bad.png", "c.png"]


def test_files_that_vanish_are_listed(images: list[Item], tmp_path: Path) -> None:
    images[0].path.unlink()
    assert "cannot be read" in _run(images, tmp_path / "out")[0]


def test_processes_agree_and_a_deadly_image_is_not_fatal(images: list[Item], tmp_path: Path) -> None:
    (tmp_path / "deadly.png").write_bytes(b"xx")
    (tmp_path / "e.png").write_bytes(b"xxxxx")
    found = _run(items(tmp_path), tmp_path / "out", workers=2)
    assert found[:3] == [{"bytes": 2}, "OSError: truncated", {"bytes": 6}]
    assert "its process died" in found[3] and found[4] == {"bytes": 10}


def test_other_files_are_no_store(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"something else entirely, and long enough to be read as a header" * 9)
    with pytest.raises(ValueError, match="not a store"):
        Store(tmp_path)


def test_keys_cannot_be_confused() -> None:
    assert key("ab", "c") != key("a", "bc")


def test_the_version_changes_with_code_and_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"1")
    first = version.digest((), [weights])
    assert first == version.digest((), [weights]) != version.digest(("evaluation.stats",), [weights])
    weights.write_bytes(b"2")
    assert version.digest((), [weights]) != first
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "somewhere_new.py").write_text("A = 1\n")
    before = version.digest(("somewhere_new",))
    (tmp_path / "somewhere_new.py").write_text("A = 2\n")
    assert version.digest(("somewhere_new",)) != before
    with pytest.raises(ValueError, match="no module"):
        version.digest(("no_such_module_at_all",))
