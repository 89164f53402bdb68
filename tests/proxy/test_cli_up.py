"""`sketchwire up`, with stand-ins for the three parts, and once with the real ones."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from proxy.cli import app, up
from proxy.config import Config
from proxy.supervise import Ready

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60

# stands in for `python -m proxy ROLE --config FILE --ready-file PATH`
STAND_IN = """
    import json, os, signal, socket, sys, tomllib
    role, options = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with open(options["--config"], "rb") as file: config = tomllib.load(file)
    print(json.dumps(config["downstream"]), flush=True)
    listener = socket.create_server(("127.0.0.1", config[role]["listen_port"]))
    told = {"port": listener.getsockname()[1], "pid": os.getpid()}
    if role != "runtime": told["ca"] = f"/ca/{role}.pem"
    with open(options["--ready-file"] + ".new", "w") as file: json.dump(told, file)
    os.replace(options["--ready-file"] + ".new", options["--ready-file"])
    signal.sigwait({signal.SIGTERM})
    print("bye", flush=True)
"""
RUN_UP = """
    import sys
    from proxy.cli import app, up
    stand_in = sys.argv.pop(1)
    up.child_command = lambda role, config, ready: [
        sys.executable, stand_in, role, "--config", str(config), "--ready-file", str(ready)]
    app()
"""


class Up:
    """A running `sketchwire up`."""

    def __init__(self, process: subprocess.Popen[str], ready_file: Path) -> None:
        self.process, self.ready_file = process, ready_file

    def ready(self, condition: Callable[[dict[str, Any]], bool] = lambda told: all(told.values())) -> dict[str, Any]:
        """What its ready file says, once that meets the condition."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self.process.poll() is None:
            if self.ready_file.exists():
                told: dict[str, Any] = json.loads(self.ready_file.read_text())
                if condition(told):
                    return told
            time.sleep(0.02)
        self.process.kill()
        raise AssertionError(f"not ready; it said: {self.process.communicate()[1]}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> str:
        """Stop it and return what it said."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=PATIENCE_S)[1]


@pytest.fixture
def free_ports(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text("[upstream]\nlisten_port = 0\n[downstream]\nlisten_port = 0\n[runtime]\nlisten_port = 0\n")
    return file


Start = Callable[..., Up]


@pytest.fixture
def start(tmp_path: Path, free_ports: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def launch(*words: str, stand_in: str = STAND_IN) -> Up:
        (tmp_path / "stand_in.py").write_text(textwrap.dedent(stand_in))
        (tmp_path / "run_up.py").write_text(textwrap.dedent(RUN_UP))
        command = [sys.executable, str(tmp_path / "run_up.py"), str(tmp_path / "stand_in.py"), "up"]
        command += ["--config", str(free_ports), "--state-dir", str(tmp_path / "state")]
        command += ["--ready-file", str(tmp_path / "ready.json"), *words]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        running.append(process)
        return Up(process, tmp_path / "ready.json")

    yield launch
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_three_parts_that_know_each_other(start: Start, tmp_path: Path) -> None:
    running = start()
    told = running.ready()
    assert list(told) == ["downstream", "upstream", "runtime"]
    assert told["downstream"]["ca"] == "/ca/downstream.pem" and "ca" not in told["runtime"]
    for part in told.values():
        socket.create_connection(("127.0.0.1", part["port"])).close()
    wired = tomllib.loads((tmp_path / "state" / "run" / "downstream.toml").read_text())
    assert wired["downstream"]["upstream"] == f"http://127.0.0.1:{told['upstream']['port']}"
    assert wired["downstream"]["upstream_ca"] == "/ca/upstream.pem"
    assert wired["downstream"]["runtime"] == f"http://127.0.0.1:{told['runtime']['port']}"
    assert wired["downstream"]["state_dir"] == str(tmp_path / "state" / "downstream")
    said = running.stop()
    assert running.process.returncode == 0
    order = [line.split()[0] for line in said.splitlines() if line.endswith("| bye")]
    assert order == ["downstream", "upstream", "runtime"]
    assert f"set the browser's HTTP and HTTPS proxy to 127.0.0.1:{told['downstream']['port']}" in said
    assert not running.ready_file.exists()


def test_generated_files_are_private(start: Start, tmp_path: Path) -> None:
    start().ready()
    run = tmp_path / "state" / "run"
    assert run.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in run.glob("*.toml")} == {0o600}


def test_a_part_that_dies_comes_back_where_it_was(start: Start) -> None:
    running = start()
    before = running.ready()
    os.kill(before["upstream"]["pid"], signal.SIGKILL)
    after = running.ready(lambda told: told["upstream"] is not None and told["upstream"] != before["upstream"])
    assert after["upstream"]["port"] == before["upstream"]["port"]
    assert after["downstream"] == before["downstream"]
    assert "upstream   | ended with signal SIGKILL; starting it again" in running.stop()


def test_interrupt_stops_it_too(start: Start) -> None:
    running = start()
    running.ready()
    running.stop(signal.SIGINT)
    assert running.process.returncode == 0


def test_without_a_runtime_the_proxies_still_run(start: Start) -> None:
    stand_in = "import sys\nif sys.argv[1] == 'runtime': sys.exit(2)\n" + textwrap.dedent(STAND_IN)
    running = start(stand_in=stand_in)
    told = running.ready(lambda told: True)
    assert told["runtime"] is None and told["upstream"] and told["downstream"]
    said = running.stop()
    assert "the others go on without it" in said
    [wired] = [line for line in said.splitlines() if line.startswith("downstream | {")]
    assert json.loads(wired.partition("| ")[2])["runtime"] == ""  # previews only


def test_an_upstream_that_cannot_start_ends_it_clearly(start: Start) -> None:
    stand_in = "import sys\nif sys.argv[1] == 'upstream': sys.exit('no CA today')\n" + textwrap.dedent(STAND_IN)
    running = start(stand_in=stand_in.replace("sys.exit('no CA today')", "print('no CA today'); sys.exit(2)"))
    said = running.process.communicate(timeout=PATIENCE_S)[1]
    assert running.process.returncode == 1
    assert said.splitlines()[-1].startswith("sketchwire: upstream failed and is given up") and "no CA today" in said
    assert "Traceback" not in said and not running.ready_file.exists()


def test_logs_in_files(start: Start, tmp_path: Path) -> None:
    running = start("--log-dir", str(tmp_path / "logs"))
    running.ready()
    said = running.stop()
    assert "bye" not in said
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"runtime.log", "upstream.log", "downstream.log"}
    assert (tmp_path / "logs" / "upstream.log").read_text().endswith("bye\n")


def test_a_second_up_in_the_same_folder_is_refused(start: Start) -> None:
    first = start()
    first.ready()
    second = start()
    said = second.process.communicate(timeout=PATIENCE_S)[1]
    assert second.process.returncode == 1 and f"process {first.process.pid}" in said
    first.ready()  # unharmed


def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        file = tmp_path / "c.toml"
        file.write_text(
            f"[downstream]\nlisten_port = {port}\n[upstream]\nlisten_port = 0\n[runtime]\nlisten_port = 0\n"
        )
        result = CliRunner().invoke(app, ["up", "-c", str(file), "--state-dir", str(tmp_path / "state")])
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1
    for text in (f"port {port}", str(os.getpid()), "listen_port in [downstream]"):
        assert text in result.stderr


def test_the_same_port_twice_is_said(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[upstream]\nlisten_port = 4000\n[runtime]\nlisten_port = 4000\n")
    result = CliRunner().invoke(app, ["up", "-c", str(file), "--state-dir", str(tmp_path / "state")])
    assert result.exit_code == 2 and "[runtime] and [upstream] have the same listen_port 4000" in result.stderr


def test_configured_ports_are_used_before_anything_is_known() -> None:
    wired = up.wired(Config(), {})
    assert wired.downstream.runtime == "http://127.0.0.1:8082"
    wired = up.wired(replace(Config(), runtime=replace(Config().runtime, listen_port=0)), {})
    assert wired.downstream.runtime == ""


def test_an_upstream_on_all_addresses_is_reached_by_loopback() -> None:
    config = replace(Config(), upstream=replace(Config().upstream, listen_host="0.0.0.0"))
    wired = up.wired(config, {"upstream": Ready(port=5, pid=1)})
    assert wired.downstream.upstream == "http://127.0.0.1:5"
    assert wired.downstream.upstream_ca.endswith(".sketchwire/upstream/mitmproxy-ca-cert.pem")


@pytest.mark.skipif(importlib.util.find_spec("mitmproxy") is None, reason="mitmproxy is not installed")
def test_the_real_parts(tmp_path: Path, free_ports: Path) -> None:
    free_ports.write_text(free_ports.read_text() + 'engine = "preview"\n')
    ready_file = tmp_path / "ready.json"
    command = [sys.executable, "-m", "proxy", "up", "--config", str(free_ports), "--state-dir", str(tmp_path / "state")]
    process = subprocess.Popen(
        [*command, "--ready-file", str(ready_file)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    running = Up(process, ready_file)
    try:
        told = running.ready()
        for name in ("upstream", "downstream"):
            assert b"BEGIN CERTIFICATE" in Path(told[name]["ca"]).read_bytes()
        health = f"http://127.0.0.1:{told['runtime']['port']}/healthz"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(health, timeout=10) as answer:
            assert answer.status == 200
        running.stop()
        assert process.returncode == 0
        for part in told.values():
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.1", part["port"]), timeout=1).close()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
