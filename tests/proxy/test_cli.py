"""The command line itself: finding commands, importing them late, and ending well."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from proxy import __version__
from proxy.bundle import BundleError
from proxy.cli import app, commands
from proxy.cli.commands import KNOWN, Source, commands_of, sources
from proxy.config import ConfigError
from proxy.ledger import LedgerUnreadable

ROOT = Path(__file__).parents[2]


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def module(folder: Path, name: str, text: str) -> Source:
    (folder / f"{name}.py").write_text(text)
    return Source(name, name)


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """A list of sources that the command line will find, instead of the real ones."""
    found: list[Source] = []
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(commands, "sources", lambda: list(found))
    return found


def greeter(name: str, body: str = "print('hello')") -> str:
    return f"import typer\ndef register(app):\n    @app.command('{name}')\n    def run() -> None:\n        {body}\n"


def test_version() -> None:
    result = invoke("--version")
    assert result.exit_code == 0 and result.stdout.startswith(f"sketchwire {__version__} (Python 3.")


def test_help_lists_every_command_of_this_package_and_the_exit_codes() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for command in ("encode", "inspect", "doctor", "report", "config", "up"):
        assert f" {command} " in result.stdout
    assert "nothing to gain" in result.stdout


@pytest.mark.parametrize("command", ["encode", "inspect", "doctor", "report", "up", "config"])
def test_each_command_teaches_by_examples(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0 and f"sketchwire {command}" in result.stdout.split("╰")[-1]


def test_an_unknown_command_names_the_nearest() -> None:
    result = invoke("encod", "x.jpg")
    assert result.exit_code == 2 and "encode" in result.stderr


def test_python_m_proxy_runs_in_a_checkout() -> None:
    done = subprocess.run([sys.executable, "-m", "proxy", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("sketchwire ")


def test_a_command_imports_neither_the_others_nor_anything_heavy() -> None:
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom proxy.cli import app\n"
        "assert CliRunner().invoke(app, ['config', 'example', 'demo']).exit_code == 0\n"
        "print([name for name in ('proxy.cli.encode', 'addons', 'client_runtime', 'evaluation', 'proxy.demo', 'cv2', "
        "'numpy', 'PIL', 'mitmproxy', 'torch', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_imports_neither_torch_nor_mitmproxy() -> None:
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom proxy.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print([name for name in ('torch', 'diffusers', 'mitmproxy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_entry_points_the_known_modules_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: ())
    found = {source.module for source in sources()}
    assert {"proxy.cli.encode", "proxy.cli.up", "proxy.cli.config"} <= found
    assert found <= {module for module, _ in KNOWN.values()}


def test_entry_points_may_name_other_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("json", "json.tool:main", commands.GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: (point,))
    assert Source("json", "json.tool", "main") in sources()


def test_the_entry_points_in_pyproject_are_the_known_modules() -> None:
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][commands.GROUP]
    assert {value.partition(":")[0] for value in declared.values()} == {module for module, _ in KNOWN.values()}


@pytest.mark.parametrize("absent", ["no_such_package.commands", "proxy.no_such_part", "no_such_module"])
def test_a_part_that_is_not_installed_is_left_out(absent: str, tmp_path: Path, parts: list[Source]) -> None:
    parts += [Source("gone", absent), module(tmp_path, "part_g", greeter("part_g"))]
    result = invoke("--help")
    assert result.exit_code == 0 and "part_g" in result.stdout and "gone" not in result.stdout
    assert invoke("gone").exit_code == 2


def test_a_part_whose_package_is_broken_says_why(tmp_path: Path, parts: list[Source]) -> None:
    (tmp_path / "part_h").mkdir()
    (tmp_path / "part_h" / "__init__.py").write_text("import no_such_thing_either")
    parts.append(Source("part_h", "part_h.commands"))
    assert "no_such_thing_either" in invoke("part_h").stderr


def test_only_the_wanted_part_is_imported(tmp_path: Path, parts: list[Source]) -> None:
    parts += [
        module(tmp_path, "part_a", greeter("part_a")),
        module(tmp_path, "part_b", "raise RuntimeError('imported')"),
    ]
    result = invoke("part_a")
    assert (result.exit_code, result.stdout) == (0, "hello\n")
    assert "part_a" in sys.modules and "part_b" not in sys.modules


def test_a_command_whose_name_says_nothing_about_its_part_is_found(tmp_path: Path, parts: list[Source]) -> None:
    parts.append(module(tmp_path, "part_c", greeter("surprise")))
    assert invoke("surprise").stdout == "hello\n"


def test_a_broken_part_becomes_a_command_that_says_why(tmp_path: Path, parts: list[Source]) -> None:
    parts += [module(tmp_path, "part_d", "import no_such_thing_at_all"), module(tmp_path, "part_e", greeter("part_e"))]
    helped = invoke("--help")
    assert helped.exit_code == 0 and "Not available" in helped.stdout and "part_e" in helped.stdout
    result = invoke("part_d", "--any", "thing")
    assert result.exit_code == 1 and "No module named 'no_such_thing_at_all'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_part_may_add_groups(tmp_path: Path, parts: list[Source]) -> None:
    text = (
        "import typer\ndef register(app):\n    group = typer.Typer()\n    app.add_typer(group, name='part_f')\n"
        "    @group.command('one')\n    def one() -> None: print('one')\n"
        "    @group.command('two')\n    def two() -> None: print('two')\n"
    )
    parts.append(module(tmp_path, "part_f", text))
    assert invoke("part_f", "two").stdout == "two\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("demo.toml: [upstream]: unknown key"), 2),
        (BundleError("not a bundle"), 1),
        (LedgerUnreadable("x: there is no ledger\nhere yet"), 1),
        (FileNotFoundError(2, "No such file or directory", "/nowhere/x"), 1),
        (PermissionError(13, "Permission denied", b"/nowhere/x"), 1),
        (ConnectionRefusedError(111, "Connection refused"), 1),
    ],
)
def test_what_the_user_can_solve_is_one_line(
    parts: list[Source], monkeypatch: Any, error: Exception, code: int
) -> None:
    def register(part: typer.Typer) -> None:
        @part.command("failing")
        def run() -> None:
            raise error

    monkeypatch.setattr(Source, "load", lambda self: commands_of(register))
    parts.append(Source("failing", "failing"))
    result = invoke("failing")
    assert result.exit_code == code and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and result.stderr.startswith("sketchwire: ")


def test_a_defect_keeps_its_traceback(parts: list[Source], monkeypatch: pytest.MonkeyPatch) -> None:
    def register(part: typer.Typer) -> None:
        @part.command("failing")
        def run() -> None:
            raise KeyError("a defect")

    monkeypatch.setattr(Source, "load", lambda self: commands_of(register))
    parts.append(Source("failing", "failing"))
    assert isinstance(invoke("failing").exception, KeyError)


def test_a_closed_pipe_is_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "proxy", "config", "markdown"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
