"""A minute of browsing through a whole pair; twenty are a command. And what it is judged by."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from evaluation.soak import visitors
from evaluation.soak.__main__ import Plan, _broken, main
from evaluation.soak.memory import ALL, LASTING_ALL, MIB, Memory, role_of, slope
from evaluation.soak.visitors import Tally


@pytest.mark.timeout(400)
def test_a_minute_of_browsing_fails_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So short a time says nothing about one MiB a minute; it would show pages or pictures that are never freed."""
    figures = tmp_path / "figures.json"
    asked = ["--minutes", "1", "--clients", "3", "--warm-up-s", "30", "--growth-limit-mib", "120"]
    status = main([*asked, "--json", str(figures)])
    assert status == 0, capsys.readouterr().out
    told = json.loads(figures.read_text())
    assert told["requests"] > 30 and told["failed"] == {} and told["broken"] == []
    assert set(told["peak_mib"]) >= {"upstream", "downstream", "runtime", "encoder", "all"}


def test_a_folder_without_pages_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--minutes", "1", "--site", str(tmp_path)]) == 2
    assert "no .html files" in capsys.readouterr().err


def test_slope_is_that_of_the_line() -> None:
    assert slope([0, 1, 2, 3, 4], [5, 7, 9, 11, 13]) == pytest.approx(2)
    with pytest.raises(ValueError, match="too few"):
        slope([0, 1], [0, 1])


def test_roles_are_told_by_command_lines() -> None:
    assert role_of(["python", "-m", "proxy", "upstream", "--config", "x"]) == "upstream"
    assert role_of(["python", "-m", "proxy.encode.worker", "1024"]) == "encoder"
    assert role_of(["python", "-m", "proxy", "up"]) == "up"


def grown(mib_a_minute: float) -> Memory:
    memory = Memory()
    for n in range(60):
        memory.at_s.append(n * 10.0)
        for what in (ALL, LASTING_ALL):
            memory.size_bytes[what].append(round((500 + n / 6 * mib_a_minute) * MIB))
    memory.pids = {("upstream", 1), ("downstream", 2), ("runtime", 3), ("encoder", 4)}
    return memory


def test_limits_are_kept() -> None:
    plan = Plan(10, 1, None, 100, 1.0)
    assert _broken(plan, Tally(), grown(0.5), None) == ()
    assert "grows by 2.00 MiB" in _broken(plan, Tally(), grown(2), None)[0]
    failed = Tally()
    failed.failed["status 502"] += 3
    assert _broken(plan, failed, grown(0), None) == ("3 × status 502",)
    assert _broken(plan, Tally(), grown(0), 1) == ("the pair ended with 1",)
    twice = grown(0)
    twice.pids.add(("upstream", 9))
    assert "2 processes were upstream" in _broken(plan, Tally(), twice, None)[0]


class _Answer:
    def __init__(self, status: int, content_type: str) -> None:
        self.status, self.content_type = status, content_type


@pytest.mark.parametrize(
    ("answer", "body", "conditional", "problem"),
    [
        (_Answer(200, "text/html"), b"x", False, ""),
        (_Answer(304, "text/html"), b"", True, ""),
        (_Answer(304, "text/html"), b"", False, "status 304"),
        (_Answer(502, "text/html"), b"x", False, "status 502"),
        (_Answer(200, "image/webp"), b"RIFF", False, "image does not open: UnidentifiedImageError"),
    ],
)
def test_what_a_browser_would_show_as_broken_counts(
    answer: aiohttp.ClientResponse, body: bytes, conditional: bool, problem: str
) -> None:
    assert visitors._problem(answer, body, conditional) == problem
