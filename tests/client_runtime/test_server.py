"""The runtime as a real process: ready, draining, ports in use."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from client_runtime.engines.base import EngineUnavailable
from client_runtime.service.server import StartError, serving
from proxy.config import RuntimeConfig

PATIENCE_S = 30.0
Make = Callable[..., bytes]

# A process whose engine says that it works (a file `entered`), and then works until a file `go` appears.
SLOW = """
import sys, time
from pathlib import Path
from client_runtime import engines
from client_runtime.engines.preview import PreviewEngine
from client_runtime.service.server import run
from proxy.config import RuntimeConfig

folder = Path(sys.argv[1])

class Slow(PreviewEngine):
    def reconstruct(self, tasks):
        (folder / "entered").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
        return super().reconstruct(tasks)

engines.ENGINES["preview"] = engines.Registered(lambda config: Slow(), lambda: None)
config = RuntimeConfig(listen_port=0, state_dir=str(folder / "state"), engine="preview")
sys.exit(run(config, announce=True, ready_file=folder / "ready", drain_s=float(sys.argv[2])))
"""


class Process:
    """A runtime in a process of its own, and its port."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.ready: dict[str, Any] = json.loads(self.line) if self.line else {}

    @property
    def port(self) -> int:
        return int(self.ready["port"])

    def post(self, data: bytes) -> int:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.request("POST", "/v1/reconstruct", data)
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def health(self) -> dict[str, Any]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.request("GET", "/healthz")
            return dict(json.loads(connection.getresponse().read()))

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def status(self) -> int:
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def begin(*arguments: str) -> Process:
        processes.append(Process(*arguments))
        return processes[-1]

    yield begin
    for process in processes:
        process.process.kill()
        process.process.communicate()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_it_says_that_it_is_ready_and_leaves_nothing_behind(start: Callable[..., Process], tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    process = start(
        *("-m", "client_runtime", "runtime", "--port", "0", "--engine", "preview", "--json"),
        *("--state-dir", str(tmp_path / "state"), "--ready-file", str(ready)),
    )
    assert json.loads(ready.read_text()) == process.ready
    assert process.ready["pid"] == process.process.pid and process.ready["engine"].startswith("preview@")
    assert listens(process.port)
    process.stop()
    assert process.status() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_work_in_hand_finish(
    start: Callable[..., Process], tmp_path: Path, bundle: Make, number: int
) -> None:
    process = start("-c", SLOW, str(tmp_path), "20")
    statuses: list[int] = []

    def post(seed: int) -> None:
        statuses.append(process.post(bundle(seed=seed)))

    threads = [threading.Thread(target=post, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    until((tmp_path / "entered").exists)
    until(lambda: process.health()["queue"] == 1 or process.health()["largest_batch"] == 2)
    process.stop(number)
    until(lambda: not listens(process.port))
    assert process.process.poll() is None
    (tmp_path / "go").touch()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert statuses == [200, 200]
    assert process.status() == 0


def test_draining_ends_in_time_even_when_the_engine_hangs(
    start: Callable[..., Process], tmp_path: Path, bundle: Make
) -> None:
    process = start("-c", SLOW, str(tmp_path), "0.2")

    def post() -> None:
        with pytest.raises((OSError, http.client.HTTPException)):
            process.post(bundle())

    thread = threading.Thread(target=post)
    thread.start()
    until((tmp_path / "entered").exists)
    process.stop()
    assert process.status() == 1
    thread.join(PATIENCE_S)


def test_a_second_signal_ends_at_once(start: Callable[..., Process], tmp_path: Path, bundle: Make) -> None:
    process = start("-c", SLOW, str(tmp_path), "30")

    def post() -> None:
        with pytest.raises((OSError, http.client.HTTPException)):
            process.post(bundle())

    thread = threading.Thread(target=post)
    thread.start()
    until((tmp_path / "entered").exists)
    process.stop()
    until(lambda: not listens(process.port))
    process.stop()
    assert process.status() == 130
    thread.join(PATIENCE_S)


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "client_runtime", "runtime", "--port", str(port), "--state-dir", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert f"port {port} of 127.0.0.1 is in use" in ended.stderr and "--port" in ended.stderr


async def test_a_port_in_use_is_known_before_the_engine_is_made() -> None:
    def never() -> Any:
        raise AssertionError("the engine was made")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = RuntimeConfig(listen_port=taken.getsockname()[1])
        with pytest.raises(StartError, match="in use"):
            async with serving(config, never):
                pass


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
async def test_an_address_that_is_not_ours(host: str) -> None:
    with pytest.raises(StartError, match="cannot listen"):
        async with serving(RuntimeConfig(listen_host=host, listen_port=0)):
            pass


async def test_an_engine_that_cannot_start_is_told(tmp_path: Path) -> None:
    def unavailable() -> Any:
        raise EngineUnavailable("torch is not installed")

    with pytest.raises(StartError, match="torch is not installed"):
        async with serving(RuntimeConfig(listen_port=0, state_dir=str(tmp_path)), unavailable):
            pass


async def test_the_engine_lives_and_ends_in_one_thread(engine: Any, tmp_path: Path) -> None:
    threads: set[int] = set()

    def make() -> Any:
        threads.add(threading.get_ident())
        engine.close = lambda: threads.add(threading.get_ident())
        return engine

    async with serving(RuntimeConfig(listen_port=0, state_dir=str(tmp_path)), make):
        pass
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_no_torch_without_need() -> None:
    code = (
        "import sys, client_runtime.commands, client_runtime.service.server, client_runtime.engines as e\n"
        "from proxy.config import RuntimeConfig\n"
        "e.available(); e.best_available(); e.create(RuntimeConfig(engine='preview'))\n"
        "sys.exit(any(name.split('.')[0] in ('torch', 'diffusers', 'mitmproxy') for name in sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], timeout=PATIENCE_S, env=environment).returncode == 0
